"""Beethoven, Ode to Joy: as in the symphony the basses have it first; then the keyboard; then everybody."""

from __future__ import annotations

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import octave, over

ASKING = "B4:q B4 C5 D5 | D5 C5 B4 A4 | G4 G4 A4 B4 | B4:q. A4:e A4:h"
ANSWERING = "B4:q B4 C5 D5 | D5 C5 B4 A4 | G4 G4 A4 B4 | A4:q. G4:e G4:h"
# The famous early entry: the last line starts a beat too soon.
BRIDGE = """
    A4:q A4 B4 G4 | A4 B4:e C5 B4:q G4 | A4 B4:e C5 B4:q A4 | G4 A4 D4 B4:q+q> B4:q C5 D5 |
    D5 C5 B4 A4   | G4 G4 A4 B4        | A4:q. G4:e G4:h
"""
THEME = f"{ASKING} | {ANSWERING} | {BRIDGE}"

VOICINGS = {
    "G": "G3,B3,D4,G4",
    "D": "F#3,A3,D4,F#4",
    "D'": "D3,F#3,A3,D4",
    "D7": "F#3,C4,D4,A4",
    "Em": "G3,B3,E4,G4",
    "B7": "F#3,A3,B3,D#4",
    "C": "G3,C4,E4,G4",
    "Am": "E3,A3,C4,E4",
}
ASKING_CHORDS = "G D | G D | Em D | G D"
ANSWERING_CHORDS = "G D | G D | Em D | D' G"
BRIDGE_CHORDS = f"D G | D G | D B7 | Em D | {ANSWERING_CHORDS}"
CHORDS = f"{ASKING_CHORDS} | {ANSWERING_CHORDS} | {BRIDGE_CHORDS}"
BROKEN = "0:e 1 2 3"
MARCHED = "0,1,2,3:q/ 1,2,3:e/ 1,2,3:e\\"

ASKING_BASS = "G2:h D3:q F#2 | G2 A2 D3 D2 | E2:h F#2:q D2 | G2:h D3:q D2"
ANSWERING_BASS = "G2:h D3:q F#2 | G2 A2 D3 D2 | E2:h F#2:q D2 | D3:q. D2:e G2:h"
BRIDGE_BASS = f"D2:h G2 | D2:q F#2 G2:h | D2:q F#2 B2 D#2 | E2:h D2:q F#2 | {ANSWERING_BASS}"
BASS = f"{ASKING_BASS} | {ANSWERING_BASS} | {BRIDGE_BASS}"

DISTANT = """
7x @pp
kick  x.......x.......
1x @pp
kick  x.......x.......
snare ............o.oo
7x @pp<p
kick  x.......x.......
rim   ....o.......o...
1x @p<mp
kick  x.......x.......
snare ....x...o.oooooo
"""
WALK = """
1x @mp
crash o...............
kick  x.......x.......
snare ....o.......o...
6x @mp
hat   x.o.x.o.x.o.x.o.
kick  x.......x.o.....
snare ....x.......x...
1x @mp
hat   x.o.x.o.x.......
kick  x.......x.......
snare ....x.......x.oo
3x @mp
hat   x.o.x.o.x.o.x.o.
kick  x.......x.o.....
snare ....x.......x...
1x @mp<mf
kick  x.......x.......
snare ....x.......Xooo
3x @mf
hat   x.o.x.o.x.o.x.o.
kick  x.......x.o.....
snare ....x.......x...
1x @mf<f
kick  x.......x.......
snare ....x..xx.......
high  ..........xx....
low   ............xx..
floor ..............xx
"""
TRIUMPH = """
1x @f
crash X...............
kick  x...x...x...x...
snare ....X..o....X.oo
6x @f
ride  x...x...x...x...
kick  x.....x.x.....x.
snare ....X..o....X.oo
1x @f
ride  x...x...x.......
kick  x.......x.......
snare ....X...x.x.xxxx
1x @f
crash X...............
kick  x...x...x...x...
snare ....X..o....X.oo
2x @f
ride  x...x...x...x...
kick  x.....x.x.....x.
snare ....X..o....X.oo
1x @f
kick  x.......x.......
snare x.......x...X...
crash ............X...
3x @f<ff
ride  x...x...x...x...
kick  x.....x.x.....x.
snare ....X..o....X.oo
1x @ff
kick  x.......x.......
snare xxxx............
high  ....xxxx........
floor ........x.x.xxxx
"""
CROWN = """
1x @ff
crash X...............
kick  x.......x.......
snare ....x...x...x...
1x @ff
crash X.......X.......
kick  x.......x.......
1x @ff
kick  x.......x.......
snare x.......xxxxxxxx
1x @ff
crash X...............|................
kick  X...............|................
snare X...............|................
"""

PIECE = Piece(
    name="ode-to-joy",
    metre=(4, 4),
    key="G",
    programs={"keyboard": 0, "bass": 33, "guitar": 25},
    sections=(
        Section("Drum", 2, 116, drums="2x @pp\nkick x.......x.......\nrim ....o.......o..."),
        Section(
            "The basses",
            16,
            116,
            keyboard=("-:w | " * 15 + "@p F#4,C5:h D4,A4",),
            bass=("@mp<mf " + octave(THEME, -2),),
            guitar=(
                f"@pp {octave(ASKING, -1)} | @p {octave(ANSWERING, -1)} | {over(BRIDGE_CHORDS, BROKEN, VOICINGS)}",
            ),
            drums=DISTANT,
        ),
        Section(
            "The keyboard",
            16,
            118,
            keyboard=("@f " + THEME,),
            bass=("@mp " + BASS,),
            guitar=("@pp<p " + over(CHORDS, BROKEN, VOICINGS),),
            drums=WALK,
        ),
        Section(
            "Everybody",
            16,
            120,
            keyboard=("@ff " + octave(THEME, 1), "@ff " + THEME),
            bass=("@mf " + BASS,),
            guitar=("@mp<mf " + over(CHORDS, MARCHED, VOICINGS),),
            drums=TRIUMPH,
        ),
        Section(
            "Crown",
            5,
            (116, 66),
            keyboard=(
                "@ff B4,B5:q B4,B5 C5,C6 D5,D6 | C5,E5,G5,E6:h> B4,D5,G5,D6 | A4,C5,C6 A4,C5,F#5,A5 |"
                " G4,B4,D5,G5:w+w_>",
            ),
            bass=("@f G2:h D3:q F#2 | C3:h B2 | A2 D2 | G2:w+w_>",),
            guitar=(f"@f {over('G D | C G | Am D7', '0,1,2,3:h/', VOICINGS)} | G3,B3,D4,G4:w+w_>/",),
            drums=CROWN,
        ),
    ),
)
