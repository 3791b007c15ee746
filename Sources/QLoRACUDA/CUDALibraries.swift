// NVIDIA's libraries as tables of functions, wherever they came from.
import CQLoRACUDA

// SAFETY: constant tables of functions that any thread may call.
/// All that the backend calls: the driver, the compiler of kernels, and matrix products.
package struct CUDALibraries: @unchecked Sendable {
  package let driver: qlora_cuda_driver
  package let compiler: qlora_cuda_compiler
  package let products: qlora_cuda_products

  package init(
    driver: qlora_cuda_driver, compiler: qlora_cuda_compiler, products: qlora_cuda_products
  ) {
    self.driver = driver
    self.compiler = compiler
    self.products = products
  }

  /// The same, but for everything that reaches the device: that does nothing.
  var hollow: CUDALibraries {
    var (driver, products) = (driver, products)
    qlora_cuda_make_hollow(&driver, &products)
    return CUDALibraries(driver: driver, compiler: compiler, products: products)
  }

  /// Major and minor, such as (12, 4); nil where the driver does not say.
  static func version(of driver: qlora_cuda_driver) -> (major: Int, minor: Int)? {
    var number: Int32 = 0
    guard driver.version(&number) == 0, number > 0 else { return nil }
    return (Int(number) / 1000, Int(number) % 1000 / 10)
  }

  static func version(of compiler: qlora_cuda_compiler) -> (major: Int, minor: Int)? {
    var (major, minor): (Int32, Int32) = (0, 0)
    guard compiler.version(&major, &minor) == 0 else { return nil }
    return (Int(major), Int(minor))
  }
}
