import QLoRAJSON
package struct ChatTemplate: Sendable {
  package init(source: String, bosToken: String, eosToken: String) throws {}
  package func render(_ messages: [JSONValue], tools: JSONValue? = nil, addsGenerationPrompt: Bool) throws -> [TextSegment] { [] }
}
