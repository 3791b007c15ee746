// Tools that concern other people: messages, calls, the calendar, translation.

extension Tool {
  static let people: [Tool] = [message, call, event, translation]

  private static let message = Tool(
    "send_message", ["to": .open(.person), "text": .open(.message)],
    known: [
      "text {to} that {text}",
      "send {to} a message saying {text}",
      "message {to}: {text}",
      "tell {to} that {text}",
      "send a message to {to}: {text}",
      "write to {to} that {text}",
      "let {to} know that {text}",
      "can you text {to} \"{text}\"?",
      "send \"{text}\" to {to}",
      "I want to tell {to} that {text}",
    ],
    unknown: [
      "drop {to} a message that {text}",
      "could you let {to} know by text that {text}?",
      "shoot {to} a text saying {text}",
    ])

  private static let call = Tool(
    "make_call", ["contact": .open(.person), "time": .time],
    known: [
      "call {contact}",
      "call {contact} at {time}",
      "phone {contact} at {time}",
      "give {contact} a call",
      "at {time}, call {contact}",
      "I need to call {contact} at {time}",
      "can you phone {contact}?",
      "start a call with {contact}",
      "make a phone call to {contact} at {time}",
      "ring {contact} at {time}",
    ],
    unknown: [
      "get {contact} on the phone",
      "place a call to {contact} at {time}",
      "I would like to phone {contact} at {time}",
    ])

  private static let event = Tool(
    "create_event", ["title": .open(.event), "day": .day, "time": .time],
    known: [
      "add {title} to my calendar on {day} at {time}",
      "put {title} in the calendar for {day} at {time}",
      "schedule {title} for {day} at {time}",
      "on {day} at {time} I have {title}, put it in my calendar",
      "create an event called {title} on {day} at {time}",
      "I have {title} at {time} on {day}, please schedule it",
      "can you schedule {title} on {day} at {time}?",
      "new calendar entry: {title}, {day} at {time}",
      "calendar: {title} at {time} on {day}",
      "book {title} into my calendar at {time} on {day}",
    ],
    unknown: [
      "make a calendar event for {title} at {time} on {day}",
      "block my calendar on {day} at {time} for {title}",
      "please get {title} scheduled for {day} at {time}",
    ])

  private static let translation = Tool(
    "translate", ["text": .open(.phrase), "language": .open(.language)],
    known: [
      "translate \"{text}\" into {language}",
      "how do you say \"{text}\" in {language}?",
      "what is \"{text}\" in {language}?",
      "say \"{text}\" in {language}",
      "give me the {language} for \"{text}\"",
      "I need \"{text}\" translated to {language}",
      "put \"{text}\" into {language}",
      "in {language}, how do I say \"{text}\"?",
      "translate to {language}: {text}",
      "can you translate \"{text}\" to {language}?",
    ],
    unknown: [
      "what would \"{text}\" be in {language}?",
      "I want to say \"{text}\" in {language}",
      "show me a {language} translation of \"{text}\"",
    ])
}
