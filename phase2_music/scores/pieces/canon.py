"""Pachelbel, Canon in D: eight chords, one tune after another over them.

Note values are doubled from the original. The melodies are the first violin's: halves, quarters, eighths,
then the lark's sixteenths. The canon is kept where it can be heard: the guitar follows the keyboard.
"""

from __future__ import annotations

from fractions import Fraction

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import octave, over

THEME = "F#5:h E5 | D5 C#5 | B4 A4 | B4 C#5"
UNDER = "D5:h C#5 | B4 A4 | G4 F#4 | G4 E4"
QUARTERS = "D5:q F#5 A5 G5 | F#5 D5 F#5 E5 | D5 B4 D5 A5 | G5 B5 A5 G5"
LEAPS = "F#5:q D5 E5 C#5 | D5 F#5 A5 A4 | B4 G4 A4 F#4 | D4 D5 D5:q. C#5:e"
RUNNING = """
    D5:e C#5 D5 D4 C#4 A4 E4 F#4 | D4 D5 C#5 B4 C#5 F#5 A5 B5 |
    G5 F#5 E5 G5 F#5 E5 D5 C#5   | B4 A4 G4 F#4 E4 G4 F#4 E4
"""
LARK = """
    A5:e> F#5:s G5 A5:e F#5:s G5 A5> A4 B4 C#5 D5 E5 F#5 G5  |
    F#5:e> D5:s E5 F#5:e F#4:s G4 A4> B4 A4 G4 A4 F#4 G4 A4  |
    G4:e> B4:s A4 G4:e F#4:s E4 F#4> E4 D4 E4 F#4 G4 A4 B4   |
    G4:e> B4:s A4 B4:e C#5:s D5 A4> B4 C#5 D5 E5 F#5 G5 A5
"""
LARK_AGAIN = """
    F#5:e> D5:s E5 F#5:e E5:s D5 E5> C#5 D5 E5 F#5 E5 D5 C#5 |
    D5:e> B4:s C#5 D5:e D4:s E4 F#4> G4 F#4 E4 F#4 D5 C#5 D5 |
    B4:e> D5:s C#5 B4:e A4:s G4 A4> G4 F#4 G4 A4 B4 C#5 D5   |
    B4:e> D5:s C#5 D5:e C#5:s B4 C#5> D5 E5 D5 C#5 D5 B4 C#5
"""
HYMN = """
    F#4,D5,F#5:h> E4,C#5,E5 | D4,B4,D5 C#4,A4,C#5 | B3,G4,B4 A3,F#4,A4 | B3,G4,B4 C#4,E4,C#5
"""

CHORDS = "D A | Bm F#m | G D' | G' A'"
VOICINGS = {
    "D": "D3,A3,D4,F#4",
    "A": "C#3,A3,C#4,E4",
    "Bm": "D3,F#3,B3,D4",
    "F#m": "C#3,F#3,A3,C#4",
    "G": "B2,G3,B3,D4",
    "D'": "D3,F#3,A3,D4",
    "G'": "D3,G3,B3,D4",
    "A'": "E3,A3,C#4,E4",
}
RISING = "0:e 1 2 3"
ROCKING = "0:e 2 1 3"
STRUMMED = "0,1,2,3:q/ 3:e 2"

GROUND = "D3:h A2 | B2 F#2 | G2 D2 | G2 A2"
WALKING = "D3:q B2 A2 C#3 | B2 A2 F#2 A2 | G2 E2 D2 F#2 | G2 B2 A2 C#3"
SPRINGING = """
    D3:q. A2:e A2:q. C#3:e | B2:q. F#2:e F#2:q. A2:e |
    G2:q. D2:e D2:q. F#2:e | G2:q. B2:e A2:q. C#3:e
"""

SOFT_RIDE = "4x @pp<p\nride x.......o.......\nhat ....o.......o..."
BRUSHES = """
3x @p
ride  x...o...x...o...
kick  o...............
rim   ........o.......
1x @p
ride  x...o...x...o...
kick  o.........o.....
rim   ........o.....o.
"""
GENTLE = """
3x @p<mp
hat   x.o.x.o.x.o.x.o.
kick  x.........o.....
rim   ........x.......
1x @mp
hat   x.o.x.o.x.o.....
kick  x.........o.....
rim   ........x.......
low   ............o.x.
"""
FLOWING = """
3x @mp<mf
hat   x.o.x.o.x.o.x.oo
kick  x.....o...x.....
snare ........x.......
1x @mf
hat   x.o.x.o.x.......
kick  x.....o.........
snare ........x..o..oo
mid   ..........x.....
low   ............x.o.
"""
FULL = """
1x @mf
crash x...............
ride  ....x.o.x.o.x.o.
kick  x.....x...x.....
snare ........X.......
2x @mf
ride  x.o.x.o.x.o.x.o.
kick  x.....x...x.....
snare ........X......o
1x @mf<f
ride  x.o.x.o.x.......
kick  x.....x...x...x.
snare ........X.o.....
high  ............xx..
low   ..............xX
"""
CADENCE = """
1x @f
crash x...............
kick  x.......x.......
ride  ....x.......x...
1x @mf<mp
kick  x.......x.......
ride  ....x.......x...
snare ............oxxx
1x @mf
crash x...............
kick  x...............
1x @pp
ride  x...............
"""
HALF = Fraction(2)

PIECE = Piece(
    name="canon",
    metre=(4, 4),
    key="D",
    programs={"keyboard": 0, "bass": 32, "guitar": 24},
    sections=(
        Section(
            "The ground",
            4,
            66,
            bass=("@p " + GROUND,),
            guitar=("@p<mp " + over(CHORDS, RISING, VOICINGS),),
            drums="2x @pp\nride x...............\n2x @pp\nride x.......o.......",
        ),
        Section(
            "Theme",
            4,
            70,
            keyboard=("@mf<f " + THEME,),
            bass=("@mp " + GROUND,),
            guitar=("@pp<p " + over(CHORDS, RISING, VOICINGS),),
            drums=SOFT_RIDE,
            pedal=HALF,
        ),
        Section(
            "Thirds",
            4,
            70,
            keyboard=("@f " + THEME, "@mf " + UNDER),
            bass=("@mp " + GROUND,),
            guitar=("@pp<p " + over(CHORDS, RISING, VOICINGS),),
            drums=BRUSHES,
            pedal=HALF,
        ),
        Section(
            "Quarters",
            4,
            70,
            keyboard=("@mf<f " + QUARTERS, "@p " + octave(UNDER, -1)),
            bass=("@mp " + GROUND,),
            guitar=("@pp<p " + over(CHORDS, ROCKING, VOICINGS),),
            drums=BRUSHES,
        ),
        Section(
            "Canon",
            4,
            70,
            keyboard=("@f " + LEAPS, "@p " + octave(UNDER, -1)),
            bass=("@mp " + WALKING,),
            guitar=("@mp " + octave(QUARTERS, -1),),
            drums=GENTLE,
        ),
        Section(
            "Running",
            4,
            70,
            keyboard=("@mf<f " + RUNNING,),
            bass=("@mp " + WALKING,),
            guitar=("@pp<p " + over(CHORDS, STRUMMED, VOICINGS),),
            drums=GENTLE,
        ),
        Section(
            "The lark",
            4,
            70,
            keyboard=("@f<ff " + LARK, "@mp " + octave(UNDER, -1)),
            bass=("@mf " + WALKING,),
            guitar=("@p " + over(CHORDS, ROCKING, VOICINGS),),
            drums=FLOWING,
        ),
        Section(
            "The lark again",
            4,
            70,
            keyboard=("@ff " + LARK_AGAIN, "@mp " + octave(UNDER, -1)),
            bass=("@mf " + SPRINGING,),
            guitar=("@p<mp " + over(CHORDS, ROCKING, VOICINGS),),
            drums=FLOWING,
        ),
        Section(
            "Hymn",
            4,
            70,
            keyboard=("@ff " + HYMN,),
            bass=("@mf<f " + SPRINGING,),
            guitar=("@mp " + over(CHORDS, STRUMMED, VOICINGS),),
            drums=FULL,
            pedal=HALF,
        ),
        Section(
            "Cadence",
            4,
            (70, 46),
            keyboard=("@ff<f G4,B4,D5,G5:h F#4,A4,D5,F#5 | E4,G4,B4,E5 E4,A4,D5:q_ E4,A4,C#5 | @f F#4,A4,D5:w+w_",),
            bass=("@f<mf G2:h F#2 | E2 A2 | D2:w+w_",),
            guitar=(
                "@mp<p G3,B3,D4,G4:h/ F#3,A3,D4,F#4/ | E3,G3,B3,E4/ E3,A3,D4:q/ E3,A3,C#4/"
                " | @p D3:e A3 D4 F#4 A4:h_ | @p D3,A3,D4,F#4:w_/",
            ),
            drums=CADENCE,
            pedal=HALF,
        ),
    ),
)
