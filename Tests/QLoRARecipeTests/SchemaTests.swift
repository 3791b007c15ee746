// The JSON Schema says what the decoder does, key by key.
import QLoRAJSON
import QLoRARecipe
import Testing

@Suite struct SchemaTests {
  private func node(_ path: String) -> JSONValue? {
    path.split(separator: ".").reduce(RecipeSchema.jsonValue() as JSONValue?) { node, key in
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
    #expect(node("training.seed")?["maximum"]?.intValue == Int.max)
    #expect(node("output")?["default"] == nil)
  }

  /// Whatever is offered as an example, or stands for a key that is not given, is right.
  @Test func everyKeyHasAnExampleAndADefaultThatFit() throws {
    for (path, schema) in FieldSchema.recipe.flattened() where schema.type != .section {
      let example = try #require(node(path)?["examples"]?.arrayValue?.first, "\(path)")
      #expect(schema.refusal(of: example) == nil, "\(path)")
      if let standard = node(path)?["default"] {
        #expect(schema.refusal(of: standard) == nil, "\(path)")
      } else {
        let without = ["name", "output", "training.steps", "data.train"]
        #expect(without.contains(path) || path.hasSuffix(".path"), "\(path) has no default")
      }
      #expect(node(path)?["x-unit"]?.stringValue == schema.unit)
    }
  }

  @Test func draftsDifferInTheirNameOnly() throws {
    let (latest, seven) = (RecipeSchema.jsonValue(), RecipeSchema.jsonValue(.seven))
    #expect(seven["$schema"] == "http://json-schema.org/draft-07/schema#")
    #expect(latest["properties"] == seven["properties"])
  }

  @Test func wordsOfOtherVersionsAreNotOffered() throws {
    #expect(node("device")?["enum"] == .list(["auto", "cpu", "cuda"]))
    let fewer = Capabilities(available: ["device": ["auto", "cpu"]])
    let schema = RecipeSchema.jsonValue(capabilities: fewer)
    #expect(schema["properties"]?["device"]?["enum"] == .list(["auto", "cpu"]))
    let problems = RecipeTexts.problems(
      RecipeTexts.with("", #""device":"cuda""#), capabilities: fewer)
    #expect(problems.count == 1)
    #expect(
      problems.first?.hasSuffix(
        #"error[E0109]: device "cuda" is not available in this version of qlora; "#
          + #"use "auto" or "cpu""#) == true)
  }

  @Test func wholeNumbersMayHaveAPoint() throws {
    let recipe = try RecipeTexts.load(RecipeTexts.with("adapter", #""rank": 8.0"#)).recipe
    #expect(recipe.adapter.rank == 8)
    #expect(
      RecipeTexts.problems(#"{"$schema":3,"model":{"path":"m"},"data":{"train":[{"path":"t"}]}}"#)
        == ["r.json:1:2: error[E0104]: $schema must be a string that is not empty, found 3"])
  }

  @Test func requiredKeysAndNoOthers() {
    let schema = RecipeSchema.jsonValue()
    #expect(schema["required"] == .list(["model", "data"]))
    #expect(node("model")?["required"] == .list(["path"]))
    #expect(node("data")?["required"] == .list(["train"]))
    #expect(node("training")?["required"] == nil)
    #expect(node("training")?["additionalProperties"]?.boolValue == false)
  }
}
