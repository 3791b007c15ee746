// swift-tools-version: 6.1
// One row per target: its name, what it is, and everything it may import. Arrows point down only;
// Docs/Architecture.md explains the layers.
import PackageDescription

/// A library target of this package, with its layer's allowed imports spelled out.
func library(_ name: String, _ imports: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: imports)
}

/// The test target of one module; `TestSupport` finds goldens and makes seeded data.
func tests(_ module: String, _ more: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: module + "Tests", dependencies: [.target(name: module), "TestSupport"] + more)
}

let package = Package(
  name: "swift-qlora",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "qlora", targets: ["qlora"]),
    .library(name: "QLoRA", targets: ["QLoRA"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
    .package(url: "https://github.com/swhitty/FlyingFox", exact: "0.27.1"),
    .package(url: "https://github.com/jpsim/Yams", exact: "6.2.2"),
  ],
  targets: [
    // Layer 0, native and shared foundations.
    .target(name: "CQLoRACUDA", exclude: ["kernels"]),
    .target(name: "CQLoRAKernels"),
    .target(name: "CQLoRASystem"),
    .target(name: "CQLoRATransfer"),
    .target(name: "CQLoRAPictures"),
    .systemLibrary(
      name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
    .systemLibrary(
      name: "COniguruma", pkgConfig: "oniguruma", providers: [.apt(["libonig-dev"])]),
    .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    library("QLoRADiagnostics", []),
    library("QLoRAJSON", []),
    library("QLoRARandom", []),
    library("QLoRARegex", ["COniguruma"]),
    library("QLoRASystem", ["CQLoRASystem", "CXXHash", "QLoRADiagnostics", "QLoRAJSON"]),
    // Layer 1, compute.
    library("QLoRATensor", []),
    library("QLoRACPU", ["QLoRATensor", "QLoRADiagnostics", "CQLoRAKernels", "COpenBLAS"]),
    library("QLoRACUDA", ["QLoRATensor", "QLoRASystem", "QLoRADiagnostics", "CQLoRACUDA"]),
    // Layer 2, artefacts.
    library(
      "QLoRAFormats",
      ["QLoRATensor", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON", "QLoRARandom"]),
    library("QLoRAText", ["QLoRASystem", "QLoRADiagnostics", "QLoRAJSON", "QLoRARegex"]),
    library(
      "QLoRAData",
      [
        "QLoRAText", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON", "QLoRARandom", "CZlib",
        "CZstd",
      ]),
    library(
      "QLoRAPictures", ["CQLoRAPictures", "QLoRASystem", "QLoRADiagnostics", "CZlib"]),
    library("QLoRAHub", ["CQLoRATransfer", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON"]),
    // Layer 3, learning.
    library(
      "QLoRAModels",
      ["QLoRATensor", "QLoRAFormats", "QLoRADiagnostics", "QLoRARandom", "QLoRARegex"]),
    library(
      "QLoRAImage",
      [
        "QLoRAModels", "QLoRATensor", "QLoRAFormats", "QLoRASystem", "QLoRADiagnostics",
        "QLoRAJSON", "QLoRARandom",
      ]),
    library("QLoRATraining", ["QLoRATensor", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON"]),
    library(
      "QLoRAReport",
      [
        "QLoRATraining", "QLoRAData", "QLoRAText", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON",
      ]),
    // Layer 4, application.
    library(
      "QLoRARecipe",
      ["QLoRAHub", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON", "QLoRARegex"]),
    library(
      "QLoRAImport",
      [
        "QLoRARecipe", "QLoRASystem", "QLoRADiagnostics", "QLoRAJSON",
        .product(name: "Yams", package: "Yams"),
      ]),
    library(
      "QLoRAPipeline",
      [
        "QLoRARecipe", "QLoRAReport", "QLoRATraining", "QLoRAImage", "QLoRAModels", "QLoRAData",
        "QLoRAText", "QLoRAFormats", "QLoRAHub", "QLoRASystem", "QLoRATensor", "QLoRADiagnostics",
        "QLoRAJSON", "QLoRARandom", "QLoRACPU", "QLoRACUDA", "QLoRAPictures",
      ]),
    library(
      "QLoRAServing",
      [
        "QLoRAPipeline", "QLoRAReport", "QLoRAText", "QLoRASystem", "QLoRADiagnostics",
        "QLoRAJSON",
        .product(name: "FlyingSocks", package: "FlyingFox"),
      ]),
    library(
      "QLoRA",
      [
        "QLoRAPipeline", "QLoRARecipe", "QLoRATraining", "QLoRAData", "QLoRAHub", "QLoRATensor",
        "QLoRADiagnostics", "QLoRAJSON",
      ]),
    .executableTarget(name: "train-from-swift", dependencies: ["QLoRA"]),
    .executableTarget(
      name: "qlora",
      dependencies: [
        "QLoRAPipeline", "QLoRARecipe", "QLoRAImport", "QLoRAReport", "QLoRAServing",
        "QLoRATraining", "QLoRAModels", "QLoRAData", "QLoRAHub", "QLoRATensor", "QLoRASystem",
        "QLoRADiagnostics", "QLoRAJSON",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    .executableTarget(
      name: "qlora-bench",
      dependencies: [
        "QLoRAPipeline", "QLoRAModels", "QLoRACPU", "QLoRACUDA", "QLoRASystem", "QLoRAText",
        "QLoRATensor", "COpenBLAS", "BackendCases", "ProductCases", "TinyModel",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
    // The generator of Datasets/tool-calls, a library so that tests can check the committed files.
    library("ToolCallCorpus", ["QLoRAJSON", "QLoRARandom"]),
    .executableTarget(name: "make-tool-calls", dependencies: ["ToolCallCorpus"]),
    // Tests.
    .target(
      name: "TestSupport", dependencies: ["QLoRARandom", "QLoRATensor"],
      path: "Tests/TestSupport"),
    .target(
      name: "ProductCases", dependencies: ["QLoRATensor", "QLoRACPU", "TestSupport"],
      path: "Tests/ProductCases"),
    // What every device must compute alike, for its tests and for `qlora-bench check`.
    .target(
      name: "BackendCases", dependencies: ["QLoRATensor", "TestSupport"],
      path: "Tests/BackendCases"),
    // The GPU's kernels for the host, behind the tables of NVIDIA's libraries.
    .target(name: "CUDASimulator", dependencies: ["CQLoRACUDA"], path: "Tests/CUDASimulator"),
    .target(
      name: "TinyModel",
      dependencies: [
        "QLoRAImage", "QLoRAModels", "QLoRAFormats", "QLoRACPU", "QLoRATensor", "TestSupport",
      ], path: "Tests/TinyModel"),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "QLoRAData", "QLoRADiagnostics", "QLoRAFormats", "QLoRAJSON", "QLoRARecipe",
        "QLoRAServing", "QLoRASystem", "QLoRATensor", "QLoRAText", "TestSupport",
      ], path: "Tests/FuzzTargets"),
    .testTarget(name: "FuzzTests", dependencies: ["FuzzTargets", "TestSupport"]),
    tests("QLoRAJSON"),
    tests("QLoRARandom"),
    tests("QLoRARegex"),
    tests("QLoRASystem"),
    tests("QLoRATensor", ["QLoRACPU"]),
    tests("QLoRACPU", ["CQLoRAKernels", "QLoRAFormats", "ProductCases"]),
    tests(
      "QLoRACUDA",
      [
        "QLoRACPU", "QLoRAImage", "QLoRAModels", "QLoRAFormats", "QLoRASystem",
        "QLoRADiagnostics", "QLoRATensor", "BackendCases", "CUDASimulator", "TinyModel",
      ]),
    tests("QLoRAFormats"),
    tests("QLoRAHub"),
    tests("QLoRAPictures", ["QLoRAFormats"]),
    tests("QLoRAText"),
    tests("QLoRAData", ["ToolCallCorpus"]),
    tests("QLoRAModels", ["QLoRACPU", "QLoRAFormats", "CAllocationCounter", "TinyModel"]),
    tests("QLoRAImage", ["QLoRACPU", "QLoRAFormats", "QLoRAModels", "TinyModel"]),
    tests("QLoRATraining", ["QLoRACPU", "QLoRAFormats"]),
    tests("QLoRARecipe"),
    tests("QLoRAImport", ["QLoRARecipe"]),
    tests("QLoRAReport"),
    tests("QLoRAServing"),
    tests("QLoRAPipeline", ["QLoRACPU", "QLoRACUDA", "QLoRAServing", "CUDASimulator"]),
    tests("QLoRA"),
    .testTarget(name: "TidyTests", dependencies: ["TestSupport"]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17,
  cxxLanguageStandard: .cxx17
)

// libFuzzer brings the `main` of this program, so it links only with `--sanitize=fuzzer`:
// Scripts/soak/fuzz.sh asks for it.
if Context.environment["QLORA_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(name: "FuzzDriver", dependencies: ["FuzzTargets"], path: "Tests/FuzzDriver"))
}
