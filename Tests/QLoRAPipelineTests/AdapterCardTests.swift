// The page beside an adapter must tell how it is loaded.
import Foundation
import QLoRAPipeline
import TestSupport
import Testing

@Suite struct AdapterCardTests {
  @Test(arguments: [
    ("tiny", #"from_pretrained("BASE")  # where you keep tiny"#),
    (
      "tiny.Q4_1.gguf",
      #"from_pretrained("FOLDER", gguf_file="tiny.Q4_1.gguf")  # where you keep tiny.Q4_1.gguf"#
    ),
  ])
  func namesTheBase(base: String, expected: String) throws {
    let tiny = try TinyRun()
    try tiny.train("run", ["training.steps=1"])
    let source = tiny.folder.path("alone")
    try FileManager.default.copyItem(atPath: tiny.folder.path("run/adapter"), toPath: source)
    let config = try #require(
      String(bytes: try tiny.bytes("alone/adapter_config.json"), encoding: .utf8))
    #expect(config.contains(#""model""#))
    try tiny.write(
      "alone/adapter_config.json", config.replacing(#""model""#, with: "\"\(base)\""))
    try Pipeline.exportAdapter(source, to: tiny.folder.path("exported"))
    let card = String(decoding: try tiny.bytes("exported/README.md"), as: UTF8.self)
    #expect(card.contains(expected), "\(card)")
  }
}
