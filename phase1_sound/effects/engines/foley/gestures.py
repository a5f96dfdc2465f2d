"""The one table of gestures: which recipe makes each, and which words mean it. A new gesture is one row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from phase1_sound.effects.engines.foley.air import Blow, Hiss, Rain, Thunder, Whoosh, Wind
from phase1_sound.effects.engines.foley.animals import Bird, Call, Insect, Purr
from phase1_sound.effects.engines.foley.brief import Recipe
from phase1_sound.effects.engines.foley.friction import Bow, Creak, Rub, Scrape
from phase1_sound.effects.engines.foley.impacts import Chimes, Clicks, Pluck, Strike
from phase1_sound.effects.engines.foley.liquids import Drip, Pour, Splash, Stream, Waves
from phase1_sound.effects.engines.foley.machines import Engine, Hum, Motor, Traffic
from phase1_sound.effects.engines.foley.particles import Footsteps, Shake
from phase1_sound.effects.engines.foley.textures import Crumple, Fire, Flap, Rustle

Kind = Literal["hits", "sustained", "texture"]
"""Single events that begin at once; one steady sound; many events without a clear beginning."""


@dataclass(frozen=True)
class Gesture:
    """A row: the recipe and its variant, words that mean it (strong) or may mean it (weak), and an example
    request.

    `example` is (source, material, play method); words are matched by stem, so one form is enough for regular
    verbs.
    """

    recipe: type[Recipe]
    variant: str
    kind: Kind
    strong: str
    weak: str
    example: tuple[str, str, str]


# fmt: off
GESTURES: dict[str, Gesture] = {
    "strike": Gesture(Strike, "strike", "hits",
        "strike struck hit bang beat beaten pound slam thump clang clank clink hammer drum smash whack slap "
        "punch kick thud collide ding clunk impact bump chop",
        "hitting fall throw thrown crash break snap shut close", ("pan", "metal", "struck with a stick")),
    "knock": Gesture(Strike, "knock", "hits",
        "knock rap",
        "", ("door", "wood", "knocked with knuckles")),
    "tap": Gesture(Strike, "tap", "hits",
        "tap pat patter drumming",
        "touch flick peck", ("cup", "ceramic", "tapped lightly")),
    "bounce": Gesture(Strike, "bounce", "hits",
        "bounce drop dropped tumble ricochet",
        "fall roll", ("ball", "plastic", "dropped")),
    "ring": Gesture(Strike, "ring", "hits",
        "ring rung toll gong bell peal doorbell",
        "resonate vibrate", ("bell", "bronze", "rung")),
    "chime": Gesture(Chimes, "", "hits",
        "chime windchime tinkle",
        "jingle dangle", ("wind chime", "metal", "chiming")),
    "pluck": Gesture(Pluck, "", "hits",
        "pluck twang strum",
        "string pull stretch snap flick", ("wire", "wire", "plucked")),
    "scrape": Gesture(Scrape, "", "texture",
        "scrape scratch grate grind ground file saw carve claw rasp",
        "drag skid slide cut pull push move", ("tile", "stone", "scraped with a knife")),
    "rub": Gesture(Rub, "rub", "texture",
        "rub stroke wipe polish caress brush",
        "slide glide touch move pet feel run", ("coat", "cloth", "rubbed by hand")),
    "sweep": Gesture(Rub, "sweep", "texture",
        "sweep swept broom rake",
        "brush", ("floor", "stone", "swept with a broom")),
    "bow": Gesture(Bow, "", "sustained",
        "bow bowed rim",
        "sing circle vibrate resonate", ("wine glass", "glass", "bowed")),
    "creak": Gesture(Creak, "creak", "texture",
        "creak groan hinge",
        "bend open opening swing sway door close rock strain", ("door", "wood", "creaking open")),
    "squeak": Gesture(Creak, "squeak", "texture",
        "squeak squeal screech",
        "twist turn", ("hinge", "metal", "squeaking")),
    "steps": Gesture(Footsteps, "", "hits",
        "footstep step walk tread stomp march jog pace stride stroll stamp footfall trample",
        "run foot feet shoe heel boot people crowd pedestrian", ("shoes", "wood floor", "footsteps")),
    "hooves": Gesture(Footsteps, "hooves", "hits",
        "hoof hooves trot gallop canter clop",
        "horse", ("horse hooves", "stone", "trotting")),
    "shake": Gesture(Shake, "", "hits",
        "shake shaken shook rattle jingle jangle clatter key coin",
        "sway swing vibrate stir", ("keys", "metal", "shaken")),
    "crumple": Gesture(Crumple, "crumple", "texture",
        "crumple crinkle crush wrinkle scrunch unwrap crunch squeeze",
        "fold press bend pack", ("paper bag", "paper", "crumpled")),
    "tear": Gesture(Crumple, "tear", "texture",
        "tear torn rip shred unzip zip zipper",
        "cut", ("sheet", "paper", "torn slowly")),
    "page": Gesture(Crumple, "page", "texture",
        "page flip",
        "turn book read leaf-through shuffle", ("book", "paper", "pages turned")),
    "flap": Gesture(Flap, "", "texture",
        "flap flutter billow flag wing sail",
        "wave shake hang wind curtain", ("flag", "cloth", "flapping")),
    "rustle": Gesture(Rustle, "", "texture",
        "rustle leaf leaves foliage swish",
        "sway branch tree grass bush move wave brush plant", ("leaves", "leaves", "rustling")),
    "drip": Gesture(Drip, "", "hits",
        "drip droplet plop leak",
        "drop trickle fall faucet tap", ("tap", "water", "dripping")),
    "stream": Gesture(Stream, "stream", "texture",
        "stream flow trickle gurgle babble river brook creek fountain waterfall cascade gush",
        "run murmur rush water flush move canal", ("brook", "water", "flowing")),
    "bubble": Gesture(Stream, "bubble", "texture",
        "bubble boil simmer brew froth",
        "cook stew", ("pot", "water", "bubbling")),
    "pour": Gesture(Pour, "", "texture",
        "pour fill refill",
        "drink serve", ("glass", "water", "poured")),
    "splash": Gesture(Splash, "", "hits",
        "splash splatter plunge dive slosh",
        "throw jump swim paddle row pool", ("pond", "water", "splashing")),
    "waves": Gesture(Waves, "", "texture",
        "wave surf ocean sea tide shore lap",
        "crash swell break roll beach coast lake water", ("sea", "water", "waves rolling in")),
    "rain": Gesture(Rain, "", "texture",
        "rain raindrop drizzle downpour hail rainfall",
        "shower patter storm pour fall", ("rain", "water", "raining on the ground")),
    "thunder": Gesture(Thunder, "", "texture",
        "thunder thunderclap lightning",
        "rumble boom storm roar cloud explode explosion", ("storm", "air", "thundering")),
    "wind": Gesture(Wind, "", "texture",
        "wind gust breeze howl",
        "blow blown air whistle storm draft sky rush roar", ("air", "air", "wind gusting")),
    "whoosh": Gesture(Whoosh, "", "texture",
        "whoosh swoosh zoom whip swipe swung",
        "swing pass fly flying swish throw thrown wave move race jump",
        ("stick", "wood", "swung, whooshing")),
    "hiss": Gesture(Hiss, "", "texture",
        "hiss steam fizz spray sizzle vent sputter fry",
        "release leak squirt cook pressure", ("valve", "air", "hissing")),
    "blow": Gesture(Blow, "", "sustained",
        "whistle toot breathe exhale blown kettle",
        "blow hoot hollow", ("bottle", "glass", "blown")),
    "horn": Gesture(Blow, "horn", "sustained",
        "honk horn beep siren",
        "signal alarm", ("car horn", "metal", "honked")),
    "fire": Gesture(Fire, "", "texture",
        "fire crackle burn flame campfire blaze bonfire fireplace ember",
        "candle torch smoulder lit match glow", ("campfire", "wood", "crackling")),
    "engine": Gesture(Engine, "", "sustained",
        "engine idle idling rev motorcycle truck tractor throttle chug motorbike diesel",
        "car bus motor roar drive start accelerate boat train vehicle", ("engine", "metal", "idling")),
    "motor": Gesture(Motor, "", "sustained",
        "whir whirr fan motor propeller blender mixer drill helicopter vacuum rotor",
        "spin rotate turn machine whine drone wheel operate run", ("electric motor", "metal", "whirring")),
    "hum": Gesture(Hum, "", "sustained",
        "hum electric electrical transformer refrigerator fridge fluorescent neon electricity",
        "buzz drone lamp light power computer screen monitor vibrate machine bulb",
        ("transformer", "metal", "humming")),
    "traffic": Gesture(Traffic, "", "texture",
        "traffic highway motorway",
        "car vehicle road street city pass distant bus drive urban",
        ("street", "asphalt", "traffic passing")),
    "tick": Gesture(Clicks, "tick", "hits",
        "tick tock clock clockwork metronome stopwatch",
        "gear watch mechanism", ("clock", "metal", "ticking")),
    "click": Gesture(Clicks, "click", "hits",
        "click typing typed type keyboard button shutter",
        "press switch latch lock snap open close camera use turn", ("switch", "plastic", "clicked")),
    "bird": Gesture(Bird, "", "texture",
        "bird chirp tweet warble twitter sparrow robin songbird finch canary birdsong",
        "sing trill call parrot", ("bird", "feathers", "singing")),
    "cricket": Gesture(Insect, "cricket", "texture",
        "cricket insect cicada grasshopper stridulate katydid chirp",
        "night", ("cricket", "chitin", "chirping")),
    "bee": Gesture(Insect, "bee", "sustained",
        "bee buzz wasp mosquito bumblebee hornet fly",
        "insect beetle", ("bee", "wings", "buzzing")),
    "purr": Gesture(Purr, "", "sustained",
        "purr",
        "cat kitten", ("cat", "fur", "purring")),
    "dog": Gesture(Call, "dog", "hits",
        "bark dog puppy woof yap",
        "growl fox wolf", ("dog", "fur", "barking")),
    "cat": Gesture(Call, "cat", "hits",
        "meow mew cat kitten miaow",
        "", ("cat", "fur", "meowing")),
    "crow": Gesture(Call, "crow", "hits",
        "caw crow raven rook",
        "bird", ("crow", "feathers", "cawing")),
    "gull": Gesture(Call, "gull", "hits",
        "gull seagull squawk",
        "cry call bird eagle hawk", ("seagull", "feathers", "calling")),
    "owl": Gesture(Call, "owl", "hits",
        "owl hoot coo dove pigeon",
        "", ("owl", "feathers", "hooting")),
    "frog": Gesture(Call, "frog", "hits",
        "frog croak toad ribbit",
        "duck quack", ("frog", "skin", "croaking")),
    "cow": Gesture(Call, "cow", "hits",
        "moo cow cattle bull ox bellow",
        "", ("cow", "hide", "mooing")),
    "horse": Gesture(Call, "horse", "hits",
        "neigh whinny snort",
        "horse pony", ("horse", "hide", "neighing")),
    "sheep": Gesture(Call, "sheep", "hits",
        "bleat baa sheep goat lamb",
        "", ("sheep", "wool", "bleating")),
}
# fmt: on
