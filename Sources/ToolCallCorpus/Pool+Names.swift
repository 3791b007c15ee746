// Names of people, bands, songs, languages and places. Invented or common ones only.

extension Pool {
  static let people = lists(
    """
    Maria,James,Sofia,Daniel,Emma,Lucas,Olivia,Noah,Ava,Liam,Mia,Ethan,Chloe,Oliver,Grace,Henry
    Ella,Jack,Nora,Samuel,Hannah,Leo,Alice,Adam,Julia,David,Sarah,Peter,Laura,Thomas,Anna,Paul
    Emily,Mark,Lisa,George,Rachel,Simon,Diana,Victor,Helen,Martin,Nina,Oscar,Clara,Felix,Irene
    Hugo,Eva,Ivan,Rosa,Carlos,Elena,Diego,Lucia,Pablo,Carmen,Marco,Giulia,Pedro,Ines,Andre
    Camille,Louis,Amelie,Karl,Greta,Jonas,Lena,Erik,Astrid,Omar,Layla,Amir,Yasmin,Ravi,Priya
    Arjun,Anika,Kenji,Yuki,Hiro,Sakura,Wei,Mei,Jin,Tomas,Petra,Stefan,Katya,Boris,Olga,Ahmed
    Fatima,Kofi,Zainab,Samir,Leila,Brian,Susan
    """,
    "Walter,Edith,Bruno,Celeste,Dmitri,Farah,Gareth,Hilda,Joel,Kira,Matteo,Noemi,Otto,Renata,Silas",
    """
    Theodore,Bianca,Rafael,Ingrid,Malik,Svetlana,Quentin,Beatrice,Tariq,Freya,Desmond,Marisol
    Winston,Aisha,Gustav,Penelope,Rohan,Tatiana,Cedric,Naomi
    """)

  static let rooms = lists(
    """
    kitchen,bedroom,living room,hallway,bathroom,garage,office,nursery,attic,basement,dining room
    guest room,laundry,corridor,game room,music room,staircase,lounge,closet,entrance,garden shed
    gym,salon,storage room,playroom
    """,
    "den,veranda,wine cellar,foyer,art corner,utility area",
    "parlor,pantry,sunroom,porch,mezzanine,balcony,cloakroom,conservatory,loft,scullery,greenhouse")

  static let cities = lists(
    """
    Paris,Berlin,Madrid,Rome,Vienna,Prague,Lisbon,Dublin,London,Oslo,Stockholm,Copenhagen,Helsinki
    Warsaw,Budapest,Athens,Brussels,Amsterdam,Zurich,Geneva,Munich,Hamburg,Milan,Naples,Florence
    Barcelona,Valencia,Porto,Lyon,Nice,Bordeaux,Cologne,Dresden,Salzburg,Krakow,Riga,Vilnius
    Belgrade,Istanbul,Ankara,Cairo,Nairobi,Lagos,Tunis,Boston,Chicago,Denver,Seattle
    Austin,Dallas,Houston,Miami,Atlanta,Phoenix,Portland,Detroit,Toronto,Montreal,Ottawa,Lima
    Bogota,Santiago,Quito,Havana,Tokyo,Osaka,Kyoto,Seoul,Beijing,Shanghai,Bangkok,Hanoi,Manila
    Jakarta,Delhi,Mumbai,Chennai,Sydney,Perth,Auckland
    """,
    "Leipzig,Turin,Toulouse,Glasgow,Bergen,Gdansk,Memphis,Tampa,Calgary,Lahore,Taipei,Brisbane",
    """
    Marseille,Stuttgart,Seville,Bologna,Edinburgh,Rotterdam,Uppsala,Zagreb,Ljubljana,Antwerp
    Nashville,Cleveland,Baltimore,Vancouver,Medellin,Nagoya,Singapore,Melbourne,Casablanca,Dakar
    """)

  static let streets = lists(
    """
    Oak Street,Mill Lane,King Street,Church Road,Park Avenue,Station Road,Elm Street,Queen Street
    Bridge Street,High Street,Maple Avenue,Cedar Lane,River Road,Hill Street,Lake Avenue,Pine Street
    Victoria Road,Garden Street,Market Street,Rose Lane,Windmill Road,Castle Street,North Street
    Harbor Street,Forest Road,Chapel Lane,Green Lane,College Street,Orchard Road,Abbey Road
    """,
    "Tower Way,Bishop Way,Juniper Way,Spring Row,Linden Row,Weaver Row",
    """
    Birch Boulevard,Falcon Promenade,Canal Boulevard,Granite Promenade,Meadow Crescent
    Walnut Crescent,Saddler Boulevard,Thistle Promenade,Juno Crescent,Fisher Boulevard
    Pewter Promenade,Heron Crescent
    """)

  static let destinations = lists(
    """
    airport,train station,city museum,library,zoo,town hall,football stadium,opera house
    central park,post office,swimming pool,hospital,shopping mall,university,harbor,old castle
    flower market,bus terminal,art gallery,police station,concert hall,cathedral,national theater
    bookshop,pharmacy,supermarket,ice rink,film studio,skate park,science center
    """,
    "ferry dock,courthouse,planetarium,tennis club,car dealer,city brewery",
    """
    aquarium,botanical gardens,lighthouse,embassy,courtyard inn,climbing wall,bakery,observatory
    petrol pump,cinema,monastery,golf course,food bank,vineyard
    """)

  static let restaurants = lists(
    """
    Casa Verde,Blue Lagoon,Luigi's,The Golden Fork,Sakura House,Chez Nous,Red Lantern,Olive Tree
    La Paloma,The Hungry Bear,Mama Rosa,Bella Vista,The Copper Pot,Green Garden,Ocean Grill
    Taj Palace,The Old Mill,Little Saigon,Bombay Corner,El Toro,Pasta Bar,The Rusty Anchor,Nonna's
    Silver Spoon,Thai Orchid,Le Petit Jardin,The White Horse,Fire and Stone,Lotus Kitchen
    Sunset Terrace
    """,
    "Gusto,Amber Room,Il Forno,Pho Nine,The Black Swan,Zaytoon",
    """
    Trattoria Alba,Maison Dupont,Smoky Barrel,Velvet Pepper,Kyoko Sushi,Lucky Dragon,Cafe Lumiere
    Rustic Oven,Pier Ninety,Tandoori Nights,Wild Boar Tavern,Bistro Marlene
    """)

  /// First the adjectives, then as many nouns.
  static let songWords = lists(
    """
    Silver,Broken,Golden,Midnight,Electric,Lonely,Crystal,Purple,Burning,Frozen,Hidden,Lost,Summer
    Winter,Neon,Paper,Velvet,Wild,Quiet,Falling,Distant,Secret,Empty,Shining
    River,Dreams,Heart,Highway,Sky,Garden,Moon,Fire,Rain,Mirror,Ocean,City,Shadow,Angel,Train,Road
    Window,Dance,Summit,Letter,Stars,Echo,Island,Storm
    """,
    """
    Gentle,Hollow,Rising,Scarlet,Painted
    Horizon,Valley,Feather,Bridge,Whisper
    """,
    """
    Crimson,Restless,Wandering,Sapphire,Faded,Endless,Thunder,Marble
    Harvest,Waterfall,Sparrow,Compass,Monsoon,Tides,Carousel,Meadow
    """)

  static let artists = lists(
    """
    The Foxes,Blue Parade,Anna Vale,The Night Owls,Sam Carter,Iron Valley,The Paper Kites
    Lola Reyes,Grand Hotel,Mason Reed,The Wolves,Echo Park,Ruby Stone,The Drifters,Kai Morgan
    Static Youth,Ella Winters,The Harbor Boys,Leo Marsh,Sugar Rush,The Satellites,Nina Frost
    Black Canyon,Tom Hadley,The Velvet Crows,Jade Rivers,Modern Ghosts,The Sailors,Max Holland
    Desert Rose
    """,
    "Opal Drive,Finn Archer,The Magpies,Coral Bay,Ida Lund,Radio Cairo",
    """
    The Tin Soldiers,Marlowe Quinn,Copper Union,Hazel Brooks,The Lemon Brothers,Arctic Brass
    Dexter Vaughn,Plastic Tigers,Sienna Clarke,Winding Staircase,Otis Barlow,The Mechanics
    """)

  static let languages = lists(
    """
    Spanish,French,German,Italian,Portuguese,Dutch,Swedish,Polish,Russian,Turkish,Arabic,Japanese
    Chinese,Korean,Hindi,Greek,Finnish,Czech,Hungarian,Romanian
    """,
    "Thai,Croatian,Latvian,Persian",
    "Norwegian,Danish,Vietnamese,Ukrainian,Swahili,Icelandic,Hebrew,Indonesian")
}
