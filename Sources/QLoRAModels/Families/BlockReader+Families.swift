// Which file of this folder builds the blocks of which family.

extension BlockReader {
  func block() throws -> any DecoderBlock {
    switch config.family {
    case .llama, .mistral, .qwen2, .qwen3, .gemma, .smollm3, .granite, .seedOSS, .ernie45:
      try llama()
    case .gemma2, .gemma3: try gemma()
    case .olmo2, .olmo3, .exaone4: try olmo()
    case .phi3: try phi()
    case .stablelm, .cohere, .cohere2: try stableLM()
    case .gptNeoX: try neoX()
    case .gpt2: try gpt2()
    case .mixtral, .qwen3Moe, .olmoe: try mixtral()
    case .starcoder2: try starcoder()
    case .glm4: try glm()
    case .bert, .roberta, .distilbert: try bert()
    case .t5: try t5()
    }
  }
}
