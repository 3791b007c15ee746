// The cache of quantized bases as the environment of this process names it.
import QLoRADiagnostics
import QLoRAPipeline

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

enum BaseCache {
  /// - Returns: nil where it is switched off, or the environment names no place.
  static func standard(warn: @escaping (Diagnostic) -> Void) throws(Diagnostic) -> WeightCache? {
    try WeightCache.standard(environment: ProcessInfo.processInfo.environment, warn: warn)
  }
}
