// Tools of the house: lights, heating, music, alarms and timers.

extension Tool {
  static let home: [Tool] = [light, temperature, song, alarm, timer]

  private static let light = Tool(
    "set_light", ["room": .open(.room), "brightness": .percent, "time": .time],
    known: [
      "dim the {room} lights to {brightness} at {time}",
      "set the {room} lights to {brightness}",
      "turn the {room} lights to {brightness} at {time}",
      "at {time}, set the {room} light to {brightness}",
      "put the lights in the {room} at {brightness}",
      "I want the {room} lights at {brightness} from {time}",
      "can you bring the {room} lights down to {brightness}?",
      "lights in the {room} to {brightness} at {time}",
      "change the brightness in the {room} to {brightness}",
      "make the light {brightness} bright in the {room} at {time}",
    ],
    unknown: [
      "could the {room} lamps go to {brightness} at {time}?",
      "brightness {brightness} for the {room} lights",
      "from {time} on, keep the {room} lights at {brightness}",
    ])

  private static let temperature = Tool(
    "set_temperature", ["room": .open(.room), "degrees": .degrees, "time": .time],
    known: [
      "heat the {room} to {degrees}",
      "set the {room} thermostat to {degrees} at {time}",
      "warm up the {room} to {degrees} by {time}",
      "I want it {degrees} warm in the {room}",
      "at {time}, set the temperature in the {room} to {degrees}",
      "make the {room} {degrees} warm at {time}",
      "turn the heating in the {room} to {degrees}",
      "can you set the {room} temperature to {degrees}?",
      "keep the temperature at {degrees} in the {room} from {time}",
      "thermostat in the {room} to {degrees} at {time}",
    ],
    unknown: [
      "the {room} should be {degrees} warm at {time}",
      "get the {room} heated up to {degrees}",
      "adjust the heating to {degrees} in the {room} at {time}",
    ])

  private static let song = Tool(
    "play_song", ["title": .open(.song), "artist": .open(.artist), "room": .open(.room)],
    known: [
      "play {title} by {artist}",
      "play {title} by {artist} in the {room}",
      "put on the song {title}",
      "I want to hear {title} by {artist}",
      "in the {room}, play {title}",
      "start the song {title} by {artist} in the {room}",
      "can you play {title} in the {room}?",
      "put on {artist} with {title}",
      "play me the track {title} by {artist}",
      "let me hear the song {title} in the {room}",
    ],
    unknown: [
      "could you put {title} by {artist} on in the {room}?",
      "I would like to listen to the song {title} by {artist}",
      "play the {artist} song {title}",
    ])

  private static let alarm = Tool(
    "set_alarm", ["time": .time, "label": .open(.routine)],
    known: [
      "set an alarm for {label} at {time}",
      "wake me up at {time} for {label}",
      "I need an alarm at {time} for {label}",
      "alarm at {time}, call it {label}",
      "for {label}, set an alarm at {time}",
      "please wake me for {label} at {time}",
      "can you set a {time} alarm for {label}?",
      "new alarm: {label} at {time}",
      "add an alarm at {time} with the name {label}",
      "let the alarm ring at {time} for {label}",
    ],
    unknown: [
      "have an alarm go off at {time} for {label}",
      "I have {label}, so wake me up at {time}",
      "create a {label} alarm for {time}",
    ])

  private static let timer = Tool(
    "set_timer", ["minutes": .minutes, "label": .open(.dish)],
    known: [
      "set a timer for {minutes} for the {label}",
      "{minutes} timer for the {label}",
      "time the {label} for {minutes}",
      "start a timer of {minutes} for the {label}",
      "the {label} needs a timer of {minutes}",
      "for the {label}, start a {minutes} timer",
      "count down {minutes} for the {label}",
      "can you set a timer on the {label} for {minutes}?",
      "I need a timer for the {label}, {minutes}",
      "timer for the {label}: {minutes}",
    ],
    unknown: [
      "put {minutes} on the timer for the {label}",
      "start timing the {label}, {minutes} please",
      "could you run a {minutes} timer for the {label}?",
    ])
}
