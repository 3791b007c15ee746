// The version that manifests and `--version` name.

package enum ToolVersion {
  package static let number = "0.1.0"
  package static let text = "qlora \(number)"
}
