// The adapters of products that share an input, side by side, so that what they do to the input and
// to its gradient is one product for all.
import QLoRATensor

struct AdapterBranches {
  /// One adapter among those of all terms.
  struct Branch {
    /// Of which term.
    let term: Int
    let adapter: AdapterTerm
    /// Where its rank begins among all.
    let column: Int

    var rank: Int { adapter.b.shape[1] }
  }

  /// Neighbours that see the input alike.
  struct Group {
    let dropout: DropoutMask?
    fileprivate(set) var branches: [Branch]

    var column: Int { branches[0].column }
    var rank: Int { branches.reduce(0) { $0 + $1.rank } }
  }

  let all: [Branch]
  /// The ranks of all.
  let rank: Int
  private let columns: [Int]

  /// - Parameter adapters: each term's, nil where it has none.
  init(_ adapters: [AdapterTerm?]) {
    var (all, columns, rank): ([Branch], [Int], Int) = ([], [], 0)
    for (term, adapter) in adapters.enumerated() {
      columns.append(rank)
      guard let adapter else { continue }
      let branch = Branch(term: term, adapter: adapter, column: rank)
      all.append(branch)
      rank += branch.rank
    }
    (self.all, self.columns, self.rank) = (all, columns, rank)
  }

  /// Where a term's adapter begins, or would.
  func column(ofTerm index: Int) -> Int { columns[index] }

  /// In their order: two adapters with dropout never see the same input.
  var groups: [Group] {
    all.reduce(into: []) { groups, branch in
      let mask = branch.adapter.dropout
      if mask == nil, let last = groups.last, last.dropout == nil {
        groups[groups.count - 1].branches.append(branch)
      } else {
        groups.append(Group(dropout: mask, branches: [branch]))
      }
    }
  }
}
