// The failures of the cache of prepared bases. All but a wrong setting are warnings.

import QLoRADiagnostics

extension DiagnosticCode {
  package static let cacheEntryDamaged = DiagnosticCode(
    "E0570", .badData,
    "A quantized base in the cache is not what was written: a byte, a file or its manifest differs."
      + " The entry is removed and the base quantized anew from the model's own files: no result "
      + "depends on it. Where it happens again, the disk is failing.")
  package static let cacheUnwritable = DiagnosticCode(
    "E0571", .inputOutput,
    "The quantized base could not be kept for the next start: the cache folder is read-only, "
      + "the disk is full, or QLORA_CACHE_LIMIT is smaller than the base. The run goes on. Set "
      + "QLORA_CACHE to a folder with room, or to \"off\".")
  package static let cacheSettingInvalid = DiagnosticCode(
    "E0572", .usage,
    "QLORA_CACHE_LIMIT is a number of bytes, or a number with KiB, MiB, GiB or TiB behind it.")

  static let allCacheCodes: [DiagnosticCode] = [
    cacheEntryDamaged, cacheUnwritable, cacheSettingInvalid,
  ]
}
