// The target rows of Package.swift as text, because a manifest can't be imported.

struct PackageRows {
  /// The imports that each target's row names, products of other packages included.
  let imports: [String: Set<String>]

  init(manifest: String) {
    var imports: [String: Set<String>] = [:]
    let rows = manifest.matches(of: /(?:ibrary|tests|arget)\(\s*(?:name:\s*)?"([\w-]+)"/)
    for (row, end) in zip(rows, rows.dropFirst().map(\.range.lowerBound) + [manifest.endIndex]) {
      let text = manifest[row.range.lowerBound..<end]
      let isTest = text.hasPrefix("tests(")
      let module = String(row.output.1)
      var names = Set(
        text.dropFirst(text.prefix { $0 != "," && $0 != ")" }.count)
          .replacing(/(?:path|package|pkgConfig):\s*"[^"]*"|\.apt\([^)]*\)/, with: "")
          .matches(of: /"([\w-]+)"/).map { String($0.output.1) })
      if isTest { names.formUnion([module, "TestSupport"]) }
      imports[isTest ? module + "Tests" : module] = names
    }
    self.imports = imports
  }

  /// What `target` may import where the rows of its rows count, too.
  func reachable(from target: String) -> Set<String> {
    var seen: Set<String> = []
    var open = Array(imports[target] ?? [])
    while let next = open.popLast() {
      if seen.insert(next).inserted { open.append(contentsOf: imports[next] ?? []) }
    }
    return seen
  }
}
