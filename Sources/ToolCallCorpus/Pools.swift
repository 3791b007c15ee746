// The words that fill the phrasings: one pool per kind of thing, split so that no value of the
// test rows occurs anywhere in the other two files. Corpus+Check.swift proves it.

/// A pool of values that are copied from request to answer as they stand.
enum Pool: String, CaseIterable, Sendable {
  case person, room, city, street, destination, restaurant, song, artist, item, dish, language
  case routine, event, message, phrase

  /// Whether a value is a name, a place or a thing, so that the test's and the training's share no
  /// word at all; the others are short sentences, which share no whole value.
  var isNamePlaceOrItem: Bool {
    switch self {
    case .routine, .event, .message, .phrase: false
    default: true
    }
  }

  func values(_ split: Split) -> [String] {
    let words = table[Split.allCases.firstIndex(of: split) ?? 0]
    guard self == .song else { return words }
    // Titles are made of an adjective and a noun: the two halves of the list, crossed.
    let half = words.count / 2
    return words[..<half].flatMap { first in words[half...].map { "\(first) \($0)" } }
  }

  private var table: [[String]] {
    switch self {
    case .person: Self.people
    case .room: Self.rooms
    case .city: Self.cities
    case .street: Self.streets
    case .destination: Self.destinations
    case .restaurant: Self.restaurants
    case .song: Self.songWords
    case .artist: Self.artists
    case .item: Self.items
    case .dish: Self.dishes
    case .language: Self.languages
    case .routine: Self.routines
    case .event: Self.events
    case .message: Self.messages
    case .phrase: Self.phrases
    }
  }

  /// Three lists from three lines of comma-separated words: training, validation, test.
  static func lists(_ train: String, _ validation: String, _ test: String) -> [[String]] {
    [train, validation, test].map { line in
      line.split { $0 == "," || $0 == "\n" }.map { word in
        String(word.drop { $0 == " " })
      }.filter { !$0.isEmpty }
    }
  }
}
