// Hundreds of recipes with one fault each: none is taken, and the advice is the right one.
import QLoRARecipe
import Testing

@Suite struct MutatedRecipeTests {
  private static func mutants() throws -> [MutatedRecipe] {
    var mutator = try RecipeMutator(seed: 2026)
    return mutator.recipes(perKey: 3)
  }

  @Test func theRecipeBeforeItsFaultIsRight() {
    #expect(RecipeTexts.problems(RecipeMutator.whole) == [])
  }

  @Test func noneIsTaken() throws {
    let mutants = try Self.mutants()
    #expect(mutants.count > 800, "\(mutants.count)")
    for kind in MutatedRecipe.Kind.allCases {
      #expect(mutants.count { $0.kind == kind } >= 30, "\(kind)")
    }
    let taken = mutants.filter { RecipeTexts.problems($0.text).isEmpty }
    #expect(taken.isEmpty, "\(taken.map(\.fault))")
  }

  /// The first suggestion is right for at least 99 of 100 slips, and always for everything else.
  @Test func theAdviceIsTheRightOne() throws {
    let mutants = try Self.mutants().filter { $0.ending != nil }
    let wrong = mutants.filter { mutant in
      !RecipeTexts.problems(mutant.text).contains { $0.hasSuffix(mutant.ending ?? "") }
    }
    let slips = wrong.filter { [.slip, .twoSlips].contains($0.kind) }
    let all = mutants.count { [.slip, .twoSlips].contains($0.kind) }
    #expect(slips.count == wrong.count, "\(wrong.map(\.fault))")
    #expect(
      slips.count * 100 <= all,
      "\(slips.count) of \(all): \(slips.map { ($0.fault, RecipeTexts.problems($0.text)) })")
  }

  /// A key in another section is told where it belongs, unless it is a key there too.
  @Test func aStrayKeyIsToldItsPlace() throws {
    for mutant in try Self.mutants() where mutant.kind == .nesting {
      let problems = RecipeTexts.problems(mutant.text)
      #expect(
        problems.contains {
          $0.contains("belongs in ") || $0.contains(" is missing; ")
            || $0.contains("is \"")
        }, "\(mutant.fault): \(problems)")
    }
  }
}
