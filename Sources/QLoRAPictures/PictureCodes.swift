// The failures of reading pictures, for messages and `qlora explain`.
import QLoRADiagnostics

extension DiagnosticCode {
  package static let pictureInvalid = DiagnosticCode(
    "E0547", .badData,
    "A picture is no PNG, JPEG or WebP file, is damaged, or is stored in a way that is not read, "
      + "such as interlaced, animated or in four inks. Save it anew as an ordinary PNG file.")
  package static let pictureLibraryMissing = DiagnosticCode(
    "E0548", .inputMissing,
    "JPEG files are read by libturbojpeg and WebP files by libwebp, which are looked for when the "
      + "first such file comes. PNG files need neither.")

  package static let allPictureCodes: [DiagnosticCode] = [pictureInvalid, pictureLibraryMissing]
}
