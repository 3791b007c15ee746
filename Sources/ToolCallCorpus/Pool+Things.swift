// Things to buy and cook, and short texts: routines, events, messages, phrases to translate.

extension Pool {
  static let items = lists(
    """
    lemons,apples,tomatoes,onions,bananas,eggs,carrots,potatoes,bread rolls,avocados,oranges,limes
    milk cartons,yogurts,cucumbers,peppers,mushrooms,garlic bulbs,pears,peaches,bagels,muffins
    batteries,light bulbs,candles,paper towels,sponges,trash bags,toothbrushes,soap bars,napkins
    water bottles,cereal boxes,chocolate bars,cans of beans,jars of honey,bags of rice,tea bags
    frozen pizzas,sausages,chicken breasts,salmon fillets,shrimps,burger buns,tortillas,croissants
    cookies,donuts,pineapples,mangoes,melons,cherries,grapes,radishes,beets,leeks,cabbages
    lettuce heads,spinach bags,corn cobs,pumpkins,pencils,envelopes,notebooks,matches,sunflowers
    """,
    "plums,waffles,celery sticks,zip ties,thumbtacks,tulips,coconuts,kiwis,ginger roots,crayons",
    """
    eggplants,apricots,pomegranates,artichokes,nectarines,pretzels,scallops,lamb chops,oysters
    shoelaces,razors,diapers,vacuum filters,hairbrushes,turnips,figs,papayas,walnuts,meatballs
    sardines
    """)

  static let dishes = lists(
    """
    pasta,rice,cake,bread,pizza,eggs,chicken,potatoes,soup,cookies,lasagna,tea,coffee,oatmeal,steak
    beans,muffins,apple pie,fish sticks,brownies,pancakes,stew,roast,noodles,dumplings,popcorn
    pot roast,rolls,bacon,burgers,pudding,curry,chili,salmon,tofu,broccoli,corn,carrots,omelette
    waffles
    """,
    "casserole,ramen,biscuits,turkey,gravy,custard,mussels,couscous",
    """
    risotto,sourdough,quiche,meatloaf,cinnamon buns,cheesecake,paella,lentils,granola,shepherd's pie
    pork belly,jam,macarons,ratatouille,souffle,flatbread
    """)

  static let routines = lists(
    """
    work,school,the gym,swim practice,my flight,yoga,breakfast,the early shift,church,football
    the dog walk,my run,band practice,medicine,the school bus,my exam,the meeting,piano practice
    laundry day,baking,the night shift,my train,prayer,the market,gardening,the doctor,tennis
    homework,the interview,bedtime
    """,
    "choir,pilates,the ferry,vitamins,my lecture,basketball",
    """
    rowing,the audition,karate class,the farm chores,meditation,the fishing trip,ballet
    physiotherapy,the marathon,hockey,the carpool,my thesis defense,surfing,the airport shuttle
    """)

  static let events = lists(
    """
    dentist appointment,team meeting,lunch with Sarah,budget review,piano lesson,parent evening
    book club,car inspection,haircut,doctor visit,project kickoff,job interview,birthday party
    yoga class,dinner with Paul,board meeting,sales call,vet appointment,house viewing,swim meet
    movie night,wine tasting,choir rehearsal,staff training,bank appointment,study group
    coffee with Emma,flu shot,office party,weekly report,school play,eye exam,tax meeting
    basketball game,garden party,design workshop,guitar lesson,market visit,family dinner
    client lunch
    """,
    "blood test,chess club,drama class,roof repair,alumni brunch,safety drill",
    """
    pottery course,passport renewal,neighborhood barbecue,physics tutoring,wedding rehearsal
    brunch with Beatrice,plumber visit,quarterly audit,poker tournament,baby shower
    investor pitch,tango evening,driving test,hiking trip,puppet show
    """)

  static let messages = lists(
    """
    I am running late,dinner is ready,the meeting is cancelled,I will be home soon,the train is late
    the keys are under the mat,I miss you,the cake was great,we are at the beach,the car is fixed
    I found the book,the party starts at eight,I am on my way,the kids are asleep
    the package has arrived,I will bring the wine,the dog is fed,we won the game,the door is open
    I got the job,the movie was boring,I forgot my wallet,the flight is on time,lunch is on me
    the printer is broken,I need more time,the plan has changed,we are out of milk
    the baby is sleeping,I left my umbrella,the report is done,the shop is closed
    I am stuck in traffic,the test went well,the water is back,I can not come tomorrow
    the photos look great,we booked the hotel,the bus just left,I am at the station
    the food was cold,my phone is almost dead,the garden looks lovely,I will call later
    the exam is over,the boss is angry,we need to talk,the tickets are sold out
    I passed the course,the music is too loud
    """,
    """
    the oven is on,my shoes are wet,we lost the map,the cat came back,I sold the boat
    the roof is leaking,the nurse was kind,I will paint the fence
    """,
    """
    the concert was amazing,I broke my glasses,grandma sends her love,the elevator is stuck
    I will feed the rabbits,the contract is signed,we adopted a puppy,the guests have left
    the bridge is blocked,I finished the puzzle,my luggage is missing,the soup needs salt
    the heating works again,we caught three fish,the neighbors complained,I lost my passport
    """)

  static let phrases = lists(
    """
    good morning,thank you very much,where is the station,I am hungry,see you tomorrow
    how much is this,happy birthday,I love you,good night,the bill please,where is the bathroom
    nice to meet you,I am lost,help me please,have a nice day,what time is it,I do not understand
    how are you,I am tired,the weather is nice,open the window,close the door,my name is Anna
    I like this song,where do you live,the food is good,one coffee please,I need a doctor
    turn left here,is it far,I am sorry,excuse me,welcome home,good luck,see you later
    the train is late,I have a question,speak slowly please,I am from Canada,we are friends
    """,
    "I am cold,who is there,the soup is hot,keep the change,that is enough,do not worry",
    """
    congratulations on your wedding,can I pay by card,my suitcase is gone,I am allergic to nuts
    the museum is closed,two beers for us,where can I park,it was delicious,call the police
    I would like a receipt,sleep well,have a safe journey,is this seat taken,merry christmas
    """)
}
