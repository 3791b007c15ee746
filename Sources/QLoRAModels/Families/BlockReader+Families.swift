// Which file of this folder builds the blocks of which family.

extension BlockReader {
  func block() throws -> any DecoderBlock {
    switch config.family {
    case .llama, .mistral, .qwen2, .qwen3, .gemma, .smollm3, .granite: try llama()
    case .gemma2, .gemma3: try gemma()
    case .olmo2, .olmo3: try olmo()
    case .phi3: try phi()
    case .stablelm: try stableLM()
    case .gptNeoX: try neoX()
    case .gpt2: try gpt2()
    case .mixtral, .qwen3Moe: try mixtral()
    case .bert, .roberta, .distilbert: try bert()
    case .t5: try t5()
    }
  }
}
