// A pipeline's folder, whose parts lie in folders of their own, or its transformer alone.
import QLoRADiagnostics
import QLoRAFormats
import QLoRAJSON
import QLoRASystem

package struct ImageFolder: Sendable {
  package let path: String
  package let transformer: PartFolder
  /// Whether the folder is a pipeline's.
  package let isPipeline: Bool

  private static let indexName = "model_index.json"
  /// Configurations are some kilobytes.
  private static let largestConfiguration = 1 << 20

  /// - Throws: `modelMissing`; what is wrong with the transformer's files.
  package init(_ path: String) throws {
    guard try PosixFileSystem().status(FilePath.join(path, ".")) != nil else {
      throw Diagnostic(
        .modelMissing, "there is no folder of this name", at: .file(path),
        remedy: "check the path; `qlora download ORG/NAME` fetches a pipeline of the hub")
    }
    self.path = path
    isPipeline = try InputFile.openIfPresent(FilePath.join(path, Self.indexName)) != nil
    transformer = try PartFolder(isPipeline ? FilePath.join(path, "transformer") : path)
  }

  /// - Throws: `imageModelUnknown` for a folder that is no pipeline's.
  package static func ofPipeline(_ path: String) throws -> ImageFolder {
    let folder = try ImageFolder(path)
    guard folder.isPipeline else {
      throw Diagnostic(
        .imageModelUnknown, "the folder has no model_index.json", at: .file(path),
        remedy: "give the folder of a whole pipeline, with its text encoders and its vae")
    }
    return folder
  }

  /// Of a part that is configuration alone; nil for a transformer's folder and where it is absent.
  func configuration(_ part: String, _ name: String) throws -> PartConfig? {
    let file = FilePath.join(FilePath.join(path, part), name)
    guard isPipeline, let opened = try InputFile.openIfPresent(file) else { return nil }
    let json = try JSONValue.read(
      opened, limit: Self.largestConfiguration, code: .imageConfigInvalid)
    return PartConfig(json, path: file)
  }

  /// By which the pipeline's schedule shifts noise levels where it does so whatever the image's
  /// size: 1 where it does not.
  package func scheduleShift() throws -> Double {
    guard let config = try configuration("scheduler", "scheduler_config.json"),
      try !config.flag("use_dynamic_shifting", default: false)
    else { return 1 }
    return try config.number("shift", default: 1)
  }
}
