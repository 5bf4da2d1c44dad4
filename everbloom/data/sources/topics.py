"""The words of synthetic item texts: one line a topic, its name first. Real words, so that a language model's features
carry the topics too.
"""

_WORDS = """
gardening: roses seeds watering spade greenhouse compost pruning lawn orchid herbs
cooking: saucepan recipe oven spices bakery noodles skillet pastry stew cutlery
cycling: bicycle saddle helmet pedals gravel tyres sprint mountain trail brakes
astronomy: telescope planets galaxy comet orbit stars nebula moon eclipse rocket
music: guitar piano melody drums concert violin jazz singer vinyl orchestra
sewing: fabric needle thread quilt embroidery buttons wool knitting ribbon pattern
chess: pawn bishop checkmate opening gambit board puzzle endgame castle tactics
fishing: trout bait reel river lure boat angler tackle lake salmon
programming: compiler keyboard python database algorithm server debugging code laptop software
painting: canvas brush watercolour easel portrait palette sketch acrylic charcoal gallery
fitness: dumbbell yoga treadmill muscles stretching marathon protein gym kettlebell running
travel: suitcase passport airport beach hotel island backpack tourist map train
pets: puppy kitten leash aquarium hamster parrot kennel paws collar fur
history: empire castle medieval archive war pharaoh roman king revolution museum
finance: stocks banking savings mortgage investor taxes bonds budget market insurance
horror: ghost vampire haunted zombie nightmare graveyard monster curse witch shadow
"""


def _parse() -> dict[str, tuple[str, ...]]:
    lines = (line.split(": ") for line in _WORDS.strip().splitlines())
    return {name: tuple(words.split()) for name, words in lines}


TOPICS: dict[str, tuple[str, ...]] = _parse()
ADJECTIVES = (
    "classic",
    "modern",
    "little",
    "grand",
    "secret",
    "practical",
    "complete",
    "handmade",
    "portable",
    "royal",
    "silent",
    "golden",
)
