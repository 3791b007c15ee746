// Proves that the checkers find what they look for, on small texts.
import Testing

@Suite struct CheckerTests {
  @Test(arguments: [
    ("let a = 1 // as! b", "let a = 1         "),
    ("x /* a /* b */ c */ y", "x                     y"),
    (#"f("try! \(g("a")) b") + 1"#, "f(                    ) + 1"),
    (##"f(#"a " b"#, 2)"##, "f(         , 2)"),
    ("c = '\"'; d", "c =    ; d"),
    ("s = \"\"\"\n  print(\n  \"\"\"\nt", "s =    \n        \n     \nt"),
  ])
  func maskingBlanksCommentsAndLiterals(_ text: String, masked: String) {
    let found = SourceFile(path: "a.swift", text: text).code
    #expect(found.count == text.count)
    #expect(found.filter { $0 != " " } == masked.filter { $0 != " " })
  }

  @Test func swiftFunctionsAreMeasured() {
    let code = """
      protocol P {
        func empty(_ x: Int)
        var y: Int { get }
      }
      struct S {
        init(a: Int = { 1 }()) {
          self.a = .init(a)
        }
        func long(
          b: [Int]
        ) throws -> Int {
          if b.isEmpty { return 0 }
          return 1
        }
      }
      """
    #expect(
      FunctionLengths.swift(code) == [
        FunctionLength(name: "init", line: 6, lines: 3),
        FunctionLength(name: "func long", line: 9, lines: 6),
      ])
  }

  @Test func nativeFunctionsAreMeasured() {
    let code = """
      #define TWICE(x) \\
        { x; x; }
      struct s { int a; };
      static int table[] = { 1, 2 };
      static void f(
          int a) {
        if (a) { a = 0; }
      }
      void g(void) { }
      """
    #expect(
      FunctionLengths.c(code).map { [$0.name, "\($0.lines)"] } == [["f", "4"], ["g", "1"]])
  }

  @Test func rowsAreRead() {
    let rows = PackageRows(
      manifest: """
        .library(name: "B", targets: ["B"]),
        .systemLibrary(name: "C", pkgConfig: "c", providers: [.apt(["libc-dev"])]),
        library("A", []), library("B", ["A", "C"]),
        .executableTarget(
          name: "tool", dependencies: ["B", .product(name: "Parser", package: "parser")]),
        tests("B", ["A"]),
        .testTarget(name: "TidyTests", dependencies: ["TestSupport"]),
        """)
    #expect(rows.imports["A"] == [])
    #expect(rows.imports["B"] == ["A", "C"])
    #expect(rows.imports["tool"] == ["B", "Parser"])
    #expect(rows.imports["BTests"] == ["B", "A", "TestSupport"])
    #expect(rows.imports["TidyTests"] == ["TestSupport"])
    #expect(rows.reachable(from: "tool") == ["A", "B", "C", "Parser"])
  }

  @Test func importsAreRead() {
    let file = SourceFile(
      path: "Sources/A/a.swift",
      text: """
        // import X
        import A
        @testable import B
        package import struct C.D
        #if canImport(E)
          import E
        #endif
        """)
    #expect(LayerTests.imports(file).map(\.module) == ["A", "B", "C", "E"])
  }
}
