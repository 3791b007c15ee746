// Tools for errands and journeys: shopping, weather, restaurants, directions, tickets.

extension Tool {
  static let errands: [Tool] = [shopping, weather, table, directions, tickets]

  private static let shopping = Tool(
    "add_to_list", ["item": .open(.item), "quantity": .count],
    known: [
      "add {quantity} {item} to the shopping list",
      "put {quantity} {item} on my shopping list",
      "we need {quantity} {item}, put them on the list",
      "shopping list: {quantity} {item}",
      "I need to buy {quantity} {item}, add them to the list",
      "can you put {quantity} {item} on the list?",
      "add {item} to the shopping list",
      "put {item} on the list",
      "remember to buy {quantity} {item}",
      "on the shopping list, add {quantity} {item}",
    ],
    unknown: [
      "the shopping list needs {quantity} {item}",
      "please note {quantity} {item} on the shopping list",
      "could you get {item} onto the shopping list?",
    ])

  private static let weather = Tool(
    "get_weather", ["city": .open(.city), "day": .day],
    known: [
      "what is the weather in {city} on {day}?",
      "what will the weather be like in {city} on {day}?",
      "weather in {city}",
      "weather for {city} on {day}",
      "tell me the weather in {city}",
      "will it rain in {city} on {day}?",
      "on {day}, what is the weather in {city}?",
      "show me the weather forecast for {city}",
      "I am in {city} on {day}, how is the weather?",
      "how is the weather in {city}?",
    ],
    unknown: [
      "give me the forecast for {city} on {day}",
      "is it going to rain in {city} on {day}?",
      "what does the weather look like in {city}?",
    ])

  private static let table = Tool(
    "book_table", ["restaurant": .open(.restaurant), "people": .count, "time": .time],
    known: [
      "book a table for {people} at {restaurant} at {time}",
      "reserve a table at {restaurant} for {people} at {time}",
      "get us a table for {people} at {restaurant} at {time}",
      "I want a table at {restaurant} for {people} people",
      "at {time}, book a table for {people} at {restaurant}",
      "can you reserve {restaurant} for {people} people at {time}?",
      "table for {people} at {restaurant}, {time}",
      "book {restaurant} for {people} people at {time}",
      "we are {people} people, book a table at {restaurant}",
      "make a reservation at {restaurant} for {people} at {time}",
    ],
    unknown: [
      "I would like to reserve a table for {people} at {restaurant} at {time}",
      "we want to eat at {restaurant} at {time}, {people} people",
      "find us a table at {restaurant} for {people} people",
    ])

  private static let directions = Tool(
    "get_directions", ["to": .open(.destination), "from": .open(.street)],
    known: [
      "how do I get to the {to} from {from}?",
      "directions to the {to}",
      "show me the way to the {to}",
      "directions from {from} to the {to}",
      "give me directions to the {to} from {from}",
      "take me to the {to}",
      "navigate from {from} to the {to}",
      "navigate to the {to}",
      "what is the best way from {from} to the {to}?",
      "I am on {from} and need to get to the {to}",
    ],
    unknown: [
      "find a route from {from} to the {to}",
      "can you guide me to the {to}?",
      "which way is it to the {to} from {from}?",
    ])

  private static let tickets = Tool(
    "buy_tickets",
    ["from": .open(.city), "to": .open(.city), "day": .day, "count": .count],
    known: [
      "buy {count} train tickets from {from} to {to} for {day}",
      "get {count} tickets from {from} to {to} on {day}",
      "I need {count} train tickets to {to} from {from}",
      "train tickets for {count} from {from} to {to} on {day}",
      "on {day}, buy {count} tickets from {from} to {to}",
      "we need {count} tickets to {to} from {from} for {day}",
      "can you buy {count} train tickets from {from} to {to}?",
      "book {count} train tickets from {from} to {to} on {day}",
      "for {day}, get {count} train tickets to {to} from {from}",
      "buy train tickets from {from} to {to} for {day}",
    ],
    unknown: [
      "I want to order {count} train tickets from {from} to {to} for {day}",
      "please get us {count} tickets on the train from {from} to {to}",
      "could I have {count} train tickets to {to} from {from} on {day}?",
    ])
}
