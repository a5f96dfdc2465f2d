"""More than two hundred phrases as scenes have them, each with the gestures that a person would accept for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A sound source as a scene names it, and the foley gestures that would do."""

    source: str
    material: str
    play_method: str
    gestures: frozenset[str]

    def __str__(self) -> str:
        return f"{self.source} ({self.material}), {self.play_method}"


# source; material; play method; gestures
_TABLE = """
wooden table; oak wood; knocked with knuckles; knock strike
ceramic mug; glazed ceramic; tapped with a spoon; tap strike
wine glass; crystal glass; rim circled with a wet finger; bow
window; glass; tapped by raindrops; rain tap
window pane; glass; rattling in the wind; shake wind
old door; weathered wood; creaking open slowly; creak
iron gate; rusty iron; swinging on squeaky hinges; squeak creak
metal bucket; galvanised steel; struck with a stick; strike
tin roof; corrugated metal; rain drumming on it; rain
church bell; bronze; tolling in the distance; ring
bicycle; steel; bell rung twice; ring bicycle
bicycle; metal and rubber; wheel spinning and clicking; bicycle
bicycle; aluminium; freewheel ticking as it rolls by; bicycle
bicycle chain; metal; rattling over the sprocket; bicycle shake
wind chimes; bamboo; swaying and clinking in the breeze; chime
wind chime; brass tubes; tinkling; chime
keys; metal; jingled in the hand; shake coins
coins; copper; dropped onto a counter; coins bounce
coins; metal; jingling in a pocket; coins shake
coin; silver; spun on a table top; coins
bottle; green glass; blown across the top; blow
bottle; glass; smashed on the floor; shatter
glass vase; glass; shattering on tiles; shatter
plate; porcelain; breaking on the kitchen floor; shatter
plate; ceramic; clattering onto a stack; strike shake
cutlery; stainless steel; clinking against plates; strike shake
frying pan; cast iron; sizzling with oil; hiss
kettle; metal; whistling on the stove; blow
pot; steel; water boiling and bubbling; bubble
coffee machine; metal and plastic; hissing steam; hiss
coffee cup; porcelain; set down on a saucer; strike tap
espresso; coffee; poured into a cup; pour
beer; liquid; poured into a glass; pour
soda can; aluminium; fizzing after opening; hiss
water glass; glass; being filled from a jug; pour
faucet; water; dripping into the sink; drip
tap; chrome; leaking slowly; drip
shower; water; running over tiles; rain stream
brook; water; babbling over stones; stream
river; water; flowing past the bank; stream
waterfall; water; cascading into a pool; stream
fountain; stone and water; water splashing in the basin; splash stream
pond; water; stone thrown into it; splash
pond; still water; rippling gently; stream waves splash
lake; water; lapping against the shore; waves
lake; water; slapped with an oar; splash
sea; salt water; waves crashing on rocks; waves
ocean; water; surf rolling onto the beach; waves
puddle; rain water; stepped in; steps splash
puddle; water; splashed through by a child; splash
rain; water; falling steadily on leaves; rain
rain; water; drizzling on an umbrella; rain
hail; ice; hammering on a car roof; rain
rooftop; clay tiles; rain pattering; rain
gutter; zinc; water trickling down the pipe; stream drip
storm clouds; air; thunder rumbling far away; thunder
sky; air; thunderclap after lightning; thunder
wind; air; howling around the house; wind
wind; air; blowing through the grass; wind rustle
breeze; air; moving gently through the trees; wind rustle
mountain; air and rock; wind whistling over the ridge; wind
desert; sand; wind blowing over the dunes; wind sand
sand dune; sand; sand trickling down; sand
sand; dry sand; poured through the fingers; sand
beach; sand; walked on barefoot; steps
hourglass; sand and glass; sand running; sand
tree; leaves; rustling in the wind; rustle
autumn leaves; dry leaves; crunching underfoot; steps crumple rustle
forest floor; twigs and leaves; footsteps crushing twigs; steps
twig; dry wood; snapping in two; crack
branch; wood; breaking under snow; crack
old tree; wood; trunk groaning in the wind; creak
bush; leaves; brushed aside; rustle
reeds; dry grass; swaying against each other; rustle
grass; grass; brushing against legs; rustle
hay; straw; being raked; sweep rustle
wheat field; straw; swaying in the breeze; rustle wind
gravel path; gravel; footsteps crunching; steps
gravel; small stones; shovelled; sand scrape gravel
pebbles; stone; shaken in the hand; shake
pebble beach; pebbles; stones rolling in the surf; waves
rocks; granite; tumbling down the slope; roll bounce
boulder; stone; rolling slowly; roll
marble; glass; rolling across the floor; roll
ball; rubber; bouncing on asphalt; bounce
basketball; rubber; dribbled on the court; bounce
bowling ball; resin; rolling down the lane; roll
barrel; oak; rolled over cobblestones; roll
suitcase; plastic; wheels rolling over pavement; roll
skateboard; wood and urethane; rolling over concrete; roll
shopping cart; wire; rattling along; shake roll
train; steel; passing over rail joints; train
train; metal; wheels clacking on the tracks; train
locomotive; steel; steam chuffing; train
tram; steel; rumbling around the bend; train
subway; metal; rushing through the tunnel; train
rails; steel; squealing wheels; squeak train
car; metal; engine idling at the kerb; engine
car; metal; driving past on a wet road; traffic
cars; metal; passing in the distance; traffic
street; asphalt; traffic humming by; traffic
car horn; metal; honking twice; horn
car door; metal; slammed shut; strike
motorcycle; metal; revving its engine; engine
truck; steel; reversing slowly; engine traffic
bus; metal; doors hissing open; hiss
tractor; iron; chugging across the field; engine
boat; wood; hull creaking at its mooring; boat creak
rowing boat; wood; oars dipping and rowing; boat splash
fishing boat; wood; rocking on the waves; boat
sailing boat; wood and canvas; ropes tapping the mast; boat tap
sail; canvas; flapping in the wind; flap
ship; steel; horn sounding; horn
ferry; steel; engine throbbing; engine
flag; polyester; fluttering on its pole; flap
tent; nylon; flapping in gusts; flap
laundry; cotton; billowing on the line; flap
curtain; linen; rustling by the open window; rustle flap
coat; wool; fabric rubbed; rub
silk scarf; silk; drawn through the hand; rub
jeans; denim; legs brushing while walking; rub
sofa; leather; creaking under weight; creak
leather shoe; leather; squeaking on the floor; squeak
shoes; rubber soles; walking on wooden boards; steps
boots; leather; marching on asphalt; steps
boots; leather; trudging through deep snow; steps
high heels; leather; clicking on marble; steps
pedestrians; leather shoes; walking across the square; steps
runner; rubber shoes; running on gravel; steps
stairs; wood; footsteps climbing; steps
carpet; wool; walked on softly; steps
horse; hooves; trotting over cobblestones; hooves
horse; hide; neighing in the stable; horse
dog; fur; barking at the gate; dog
dog; paws; claws tapping on tiles; tap
cat; fur; purring on the sill; purr
cat; fur; meowing for food; cat
cow; hide; mooing in the meadow; cow
sheep; wool; bleating on the hill; sheep
cowbell; bronze; clanking around a neck; ring strike
frog; skin; croaking by the pond; frog
frogs; wet skin; calling at night; frog
crickets; chitin; chirping in the grass; cricket
cicadas; wings; buzzing in the heat; cricket bee
bee; wings; humming around the flowers; bee
fly; wings; buzzing at the window; bee
mosquito; wings; whining in the dark; bee
butterfly; wings; fluttering; wings flap
pigeon; feathers; wings beating on take-off; wings
pigeons; feathers; flapping up from the square; wings flap
pigeon; feathers; cooing on the ledge; owl
birds; feathers; chirping in the trees; bird
sparrow; feathers; twittering on a branch; bird
blackbird; feathers; singing at dusk; bird
crow; feathers; cawing overhead; crow
seagulls; feathers; crying over the harbour; gull
owl; feathers; hooting in the woods; owl
eagle; feathers; screeching; gull squeak
duck; feathers; quacking on the pond; frog
swan; feathers; wings whistling in flight; wings
campfire; burning wood; crackling and popping; fire
fireplace; logs; burning quietly; fire
candle; wax; flickering; fire
match; wood; struck and flaring; fire strike
torch; fire; flames roaring; fire
book; paper; pages turned; page
newspaper; paper; unfolded and folded; crumple page
paper; paper; torn in half; tear
letter; paper; crumpled into a ball; crumple
envelope; paper; ripped open; tear
wrapping paper; paper; unwrapped; crumple
plastic bag; polythene; rustling and crinkling; bag
shopping bag; plastic; being squeezed; bag crumple
bag of crisps; foil; crinkled; bag crumple
cardboard box; cardboard; dropped on the floor; bounce strike
pencil; wood and graphite; writing on paper; scrape
chalk; chalk; scratching on a slate; scrape
knife; steel; scraped along a plate; scrape
knife; steel; sharpened on a stone; scrape
saw; steel; cutting through timber; saw scrape
axe; steel; chopping logs; strike
hammer; iron; hitting an anvil; strike
chisel; steel; chipping stone; tap strike
broom; straw; sweeping the floor; sweep
brush; bristles; scrubbing a pan; rub scrape
rope; hemp; creaking under tension; creak
rope; fibre; pulled tight and plucked; pluck
wire fence; steel wire; plucked; pluck
guitar; nylon strings; strummed; pluck
drum; skin; hit with the palm; strike
chain; iron links; rattled; shake
clock; brass; ticking on the wall; tick
pocket watch; metal; ticking softly; tick
typewriter; metal; keys being typed; typing
keyboard; plastic; typed on quickly; typing
laptop; aluminium and plastic; typing; typing
camera; metal; shutter clicking; click
light switch; plastic; flicked on; click
computer mouse; plastic; clicked; click
printer; plastic; running; machinery motor
factory; steel; machines stamping in rhythm; machinery
loom; wood and metal; weaving machine clacking; machinery
sewing machine; metal; stitching; machinery
conveyor belt; rubber; running with a steady rattle; machinery
pump; metal; pumping rhythmically; machinery
fan; plastic; whirring on the desk; motor
air conditioner; metal; humming; hum
refrigerator; metal; compressor droning; hum motor
neon sign; glass tube; buzzing and flickering; buzz hum
power line; wire; crackling with electricity; buzz
transformer; metal; humming; hum
street lamp; metal; electrical buzz; buzz hum
drill; metal; drilling into a wall; motor
vacuum cleaner; plastic; sucking dust; motor
frozen lake; ice; cracking under weight; ice
ice cubes; ice; clinking in a glass; ice strike
glacier; ice; groaning and cracking; ice
icicle; ice; snapping off; ice crack
snow; snow; stepped on; steps
museum hall; marble; quiet ambience; hall
station hall; stone and glass; busy public space murmur; hall
cathedral; stone; empty space resonating; hall
market square; cobblestones; distant bustle; hall traffic
shopping mall; glass and tiles; ambience of the hall; hall
library; wood and paper; hushed room tone; hall
arrow; wood; whooshing past; whoosh
sword; steel; swung through the air; whoosh
zip; brass; zipped up; tear
spray can; metal; spraying; hiss
tyre; rubber; air escaping; hiss
balloon; rubber; rubbed and squeaking; squeak rub
"""


def _read(line: str) -> Phrase:
    source, material, play_method, gestures = (part.strip() for part in line.split(";"))
    return Phrase(source, material, play_method, frozenset(gestures.split()))


PHRASES: tuple[Phrase, ...] = tuple(map(_read, _TABLE.strip().splitlines()))
