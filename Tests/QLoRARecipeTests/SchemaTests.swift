// The JSON Schema says what the decoder does, key by key.
import QLoRAJSON
import QLoRARecipe
import Testing

@Suite struct SchemaTests {
  private func node(_ path: String) -> JSONValue? {
    path.split(separator: ".").reduce(RecipeSchema.jsonValue as JSONValue?) { node, key in
      let object = node?["items"] ?? node
      return object?["properties"]?[String(key)]
    }
  }

  @Test func everyKeyIsDescribed() throws {
    for (path, schema) in FieldSchema.recipe.flattened() {
      let found = try #require(node(path), "\(path)")
      #expect(found["description"]?.stringValue?.hasPrefix(schema.documentation) == true)
      if schema.children.isEmpty {
        #expect(found["type"] != nil || found["enum"] != nil || found["anyOf"] != nil, "\(path)")
      }
    }
  }

  @Test func documentationIsASentence() {
    for (path, schema) in FieldSchema.recipe.flattened() {
      #expect(schema.documentation.hasSuffix("."), "\(path)")
    }
  }

  @Test func limitsAndDefaults() throws {
    #expect(node("adapter.rank")?["minimum"]?.intValue == 1)
    #expect(node("adapter.rank")?["default"]?.intValue == 16)
    #expect(node("adapter.dropout")?["exclusiveMaximum"]?.doubleValue == 1)
    #expect(node("adapter.alpha")?["exclusiveMinimum"]?.doubleValue == 0)
    #expect(
      node("model.quantization.blocksize")?["enum"]?.arrayValue?.compactMap(\.intValue)
        == [32, 64, 128, 256, 512, 1024, 2048, 4096])
    #expect(node("training.seed")?["maximum"] == nil)
    #expect(node("output")?["default"] == nil)
  }

  @Test func requiredKeysAndNoOthers() {
    let schema = RecipeSchema.jsonValue
    #expect(schema["required"] == .list(["model", "data"]))
    #expect(node("model")?["required"] == .list(["path"]))
    #expect(node("data")?["required"] == .list(["train"]))
    #expect(node("training")?["required"] == nil)
    #expect(node("training")?["additionalProperties"]?.boolValue == false)
  }
}
