// Weights by Hugging Face names from folders and from GGUF, and models by path.
import Foundation
import QLoRADiagnostics
import QLoRASystem
import QLoRATensor
import TestSupport
import Testing

import QLoRAFormats

extension GGUFBuilder {
  /// A llama of hidden 8, 4 heads (2 for keys) of 4, one layer, as llama.cpp lays it out.
  static func tinyLlama(_ change: (inout [(String, [UInt64])]) -> Void = { _ in }) -> GGUFBuilder {
    var tensors: [(String, [UInt64])] = [
      ("token_embd.weight", [8, 10]), ("blk.0.attn_norm.weight", [8]),
      ("blk.0.attn_q.weight", [8, 16]), ("blk.0.attn_k.weight", [8, 8]),
      ("blk.0.attn_v.weight", [8, 8]), ("blk.0.attn_output.weight", [16, 8]),
      ("blk.0.ffn_norm.weight", [8]), ("blk.0.ffn_gate.weight", [8, 12]),
      ("blk.0.ffn_up.weight", [8, 12]), ("blk.0.ffn_down.weight", [12, 8]),
      ("output_norm.weight", [8]), ("rope_freqs.weight", [2]),
    ]
    change(&tensors)
    var builder = GGUFBuilder(tensors: UInt64(tensors.count), pairs: 9)
    builder.pair("general.architecture", "llama")
    builder.pair("llama.block_count", UInt32(1))
    builder.pair("llama.context_length", UInt32(64))
    builder.pair("llama.embedding_length", UInt32(8))
    builder.pair("llama.feed_forward_length", UInt32(12))
    builder.pair("llama.attention.head_count", UInt32(4))
    builder.pair("llama.attention.head_count_kv", UInt32(2))
    builder.pair("llama.attention.key_length", UInt32(4))
    builder.pair("llama.attention.layer_norm_rms_epsilon", Float(1e-5))
    var offset: UInt64 = 0
    for (name, extents) in tensors {
      builder.tensor(name, extents, offset: offset)
      offset += (extents.reduce(1, *) * 4 + 31) / 32 * 32
    }
    builder.pad()
    for (index, (_, extents)) in tensors.enumerated() {
      let count = Int(extents.reduce(1, *))
      builder.floats((0..<count).map { Float(index * 1000 + $0 + 1) })
      builder.pad()
    }
    return builder
  }
}

struct WeightSourceTests {
  private func read(
    _ weights: any WeightSource, _ name: String, _ range: Range<Int>
  ) throws -> [Float] {
    var floats = [Float](repeating: .nan, count: range.count)
    try floats.withUnsafeMutableBufferPointer {
      try weights.readFloats(name, range: range, into: $0)
    }
    return floats
  }

  @Test func opensFolderAndSingleFile() throws {
    for path in ["tiny-llama", "tiny-llama/", "tiny-llama/model.safetensors"] {
      let model = try ModelSource.open(Goldens.path(path))
      #expect(model.config.layers == 2)
      #expect(model.weights.names.count == 21)
      #expect(model.weights.contains("lm_head.weight"))
      #expect(try model.weights.tensor("model.norm.weight").shape == [64])
      #expect(try model.weights.quantizedMatrix("lm_head.weight") == nil)
      #expect(model.digestInputs.map(\.byteCount) == [717, 560_480])
    }
  }

  @Test func opensGGUFByContentAndUndoesThePermutation() throws {
    let folder = try TemporaryFolder()
    let model = try ModelSource.open(folder.write(GGUFBuilder.tinyLlama().bytes, "model"))
    #expect(model.config.headDim == 4)
    #expect(model.config.vocabularySize == 10)
    #expect(model.config.tiesEmbeddings)
    #expect(model.config.rope.scaling == .divisors([11001, 11002]))
    #expect(model.weights.names.count == 11)
    for (name, tensor) in [("q_proj", 2), ("k_proj", 3)] {
      let name = "model.layers.0.self_attn.\(name).weight"
      let shape = try model.weights.shape(of: name)
      // Stored rows 0 1 2 3 of a head are rows 0 2 1 3 of it: `reshape(heads, d/2, 2)` swapped.
      let expected = (0..<shape[0]).flatMap { row -> [Float] in
        let stored = row / 4 * 4 + [0, 2, 1, 3][row % 4]
        return (0..<8).map { Float(tensor * 1000 + stored * 8 + $0 + 1) }
      }
      for range in [0..<shape.count, 3..<61, 8..<16, 17..<18, 5..<5] {
        #expect(try read(model.weights, name, range) == Array(expected[range]))
      }
    }
    let plain = try read(model.weights, "model.layers.0.self_attn.v_proj.weight", 0..<64)
    #expect(plain == (0..<64).map { Float(4001 + $0) })
  }

  @Test func knowsOutputLayerAndRefusesForeignTensors() throws {
    let folder = try TemporaryFolder()
    let untied = GGUFBuilder.tinyLlama { $0.append(("output.weight", [8, 10])) }
    let model = try ModelSource.open(folder.write(untied.bytes, "a.gguf"))
    #expect(!model.config.tiesEmbeddings)
    #expect(model.weights.contains("lm_head.weight"))
    let foreign = GGUFBuilder.tinyLlama { $0.append(("blk.0.ssm_a.weight", [8])) }
    let path = try folder.write(foreign.bytes, "b.gguf")
    let found = diagnostic { _ = try ModelSource.open(path) }
    #expect(found?.code == .architectureUnsupported)
    #expect(found?.location == .tensor(file: path, name: "blk.0.ssm_a.weight"))
    let wrong = GGUFBuilder.tinyLlama { $0[2].1 = [8, 12] }
    let heads = try folder.write(wrong.bytes, "c.gguf")
    #expect(diagnostic { _ = try ModelSource.open(heads) }?.code == .configInvalid)
  }

  @Test func namesWhatWasLookedFor() throws {
    let folder = try TemporaryFolder()
    let nothing = diagnostic { _ = try ModelSource.open(folder.path("none")) }
    #expect(nothing?.code == .modelMissing)
    #expect(nothing?.code.exitCode == .inputMissing)
    let empty = diagnostic { _ = try ModelSource.open(folder.path("")) }
    #expect(empty?.code == .modelMissing)
    #expect(empty?.message.contains("config.json") == true)
    _ = try folder.write(readBytes(Goldens.path("tiny-llama/config.json")), "config.json")
    let weightless = diagnostic { _ = try ModelSource.open(folder.path("")) }
    #expect(weightless?.code == .fileMissing)
    #expect(weightless?.message.contains("model.safetensors") == true)
    let lone = try TemporaryFolder()
    let file = try lone.write(
      readBytes(Goldens.path("tiny-llama/model.safetensors")), "model.safetensors")
    #expect(diagnostic { _ = try ModelSource.open(file) }?.code == .configMissing)
    let pickle = try lone.write([0x50, 0x4B, 3, 4] + Array(repeating: 9, count: 40), "model.bin")
    #expect(diagnostic { _ = try ModelSource.open(pickle) }?.code == .fileIsPickle)
  }
}
