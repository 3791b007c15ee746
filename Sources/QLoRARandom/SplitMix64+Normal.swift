// Normal deviates, whose last bits are those of the C library's logarithm and cosine.

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension SplitMix64 {
  /// Of mean 0 and variance 1.
  /// Source: Box & Muller 1958, "A Note on the Generation of Random Normal Deviates".
  package mutating func normal() -> Double {
    // A logarithm needs a number above 0.
    let radius = (-2 * log(1 - unit())).squareRoot()
    return radius * cos(2 * .pi * unit())
  }
}
