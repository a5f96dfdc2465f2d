"""Joplin, The Entertainer: the introduction and first strain, a trio of our own, the strain again."""

from __future__ import annotations

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import over

INTRODUCTION = """
    D5,D6:s E5,E6 C5,C6 A4,A5:e B4,B5:s G4,G5:e | D4,D5:s E4,E5 C4,C5 A3,A4:e B3,B4:s G3,G4:e |
    D4:s E4 C4 A3:e B3:s A3 G#3                 | G3:e - G4,B4,D5,G5> D4:s D#4
"""
CALL = "E4:s C5:e E4:s C5:e E4:s C5:s+q"
FULL_CALL = "E4:s G4,C5:e E4:s G4,C5:e E4:s G4,C5:s+q"
REPLY = "-:s C5,C6 D5,D6 D#5,D#6 | E5,E6:s C5,C6 D5,D6 E5,E6:e B4,B5:s D5,D6:e | C5,C6:q."
TURN = "-:e A4,A5:s G4,G5 | F#4,F#5:s A4,A5 C5,C6 E5,E6:e D5,D6:s C5,C6 A4,A5 | D5,D6:q."
ROLLING = "E5,E6:s C5,C6 D5,D6 E5,E6:e C5,C6:s D5,D6 C5,C6"
CLOSE = "E5,E6:s C5,C6 D5,D6 E5,E6:e B4,B5:s D5,D6:e"
UPBEAT = "D4:s D#4"


def _strain(call: str, last_bar: str) -> str:
    return (
        f"{call} {REPLY} {UPBEAT} | {call} {TURN} {UPBEAT} | {call} {REPLY} C5,C6:s D5,D6 |"
        f" {ROLLING} | {ROLLING} | {CLOSE} | {last_bar}"
    )


VOICINGS = {
    "C": "E3,G3,C4",
    "C7": "E3,Bb3,C4",
    "F": "F3,A3,C4",
    "Fm": "F3,Ab3,C4",
    "F#o": "F#3,A3,C4",
    "G7": "F3,G3,B3",
    "D7": "F#3,A3,D4",
    "G": "G3,B3,D4",
}
HIGH_VOICINGS = {"F": "A3,C4,F4", "C7": "Bb3,C4,E4", "D7": "A3,C4,F#4", "G7": "B3,D4,F4"}
STRAIN_CHORDS = """
    C C7 | F C | C G7 | C C  | C C7 | F C  | D7 D7 | G G7 |
    C C7 | F C | C G7 | C C7 | C C7 | F Fm | C G7  | C C
"""
CHOP = "-:e 0,1,2:e/'"
RAGGED_CHOP = "-:e 0,1,2:s/' 0,1,2\\'"
TRIO_CHORDS = "F F | F F | C7 C7 | C7 C7 | F F | D7 D7 | G7 G7 | G7"
TRIO = """
    C5:s F4 A4 C5:e> A4:s F4:e    | D5:s C5 A4 C5:s+q>            |
    Bb4:s E4 G4 Bb4:e> G4:s E4:e  | C5:s Bb4 G4 E4:s+q>           |
    F4:s A4:e> C5:s A4:e F4:e     | F#4:s A4:e> C5:s D5:e C5:s A4 |
    B4:s D5:e> B4:s G4:e F4       | G4:q> -:q
"""

STRAIN_BASS = """
    C3:q Bb2 | A2 E2 | G2 G2:e B2 | C3:q G2 | C3 Bb2 | A2 E2 | D2 F#2 | G2 F2:e D2 |
    C3:q Bb2 | A2 E2 | G2 G2:e B2 | C3:q G2:e Bb2 | C3:q E2 | F2 Ab2 | G2 G2 | C3:e G2 C2:q
"""
WALKING_BASS = """
    C3:e G2 Bb2 G2 | A2 C3 E2 G2 | G2 E2 G2 B2    | C3 E3 G2 E2  |
    C3 G2 Bb2 G2   | A2 C3 E2 G2 | D2 A2 F#2 A2   | G2 D3 F2 D2  |
    C3 G2 Bb2 G2   | A2 C3 E2 G2 | G2 E2 G2 B2    | C3 G2 C3 Bb2 |
    C3:q E2        | F2 Ab2      | G2:e G2 G2 B2  | C3 G2 C3:q
"""
TRIO_BASS = "F2:q A2 | C3 A2 | C3 G2 | E2 G2:e E2 | F2:q A2 | D2 F#2:e A2 | G2:q B2 | D3:e B2 A2 G2"

OPENING_DRUMS = """
2x @mf
snare x.......
1x @mf<f
snare x.oxo.xx
1x @f
kick  x.......
crash ....x...
snare ....x...
"""
OOM_PAH = """
7x @mp
kick  x...x...
hat   ..x...x.
1x @mp
kick  x...x...
hat   ..x.....
snare .....oxx
7x @mp<mf
kick  x...x...
hat   ..x...x.
rim   ..o...o.
1x @mf
kick  x...x...
hat   ..x.....
block ....x.xx
"""
TRIO_DRUMS = """
3x @mp
kick  x.......
hat   ..o...o.
block x.xx.x.x
1x @mp
kick  x...x...
hat   ..x...x.
snare ...x..xx
3x @mp
kick  x.......
hat   ..o...o.
block x.xx.x.x
1x @mf<f
snare x.xxx.xx
kick  x...x...
"""
PARADE = """
1x @f
crash x.......
kick  x...x...
snare ..x...x.
6x @mf
kick  x...x...
snare ..x...x.
hat   x.xxx.xx
1x @mf
kick  x...x...
snare ..x..xxx
hat   x.x.....
4x @mf
kick  x...x...
snare ..x...xo
hat   x.xxx.xx
2x @f
kick  X.......
snare X.......
1x @f
kick  x...x...
snare ..x...x.
hat   x.xxx.xx
1x @f
kick  x.......
snare ..xxxoxx
"""
GOODBYE = """
1x @mf
kick  x...x...
snare ..x...x.
hat   x.xxx.xx
1x @mf<f
kick  x...x...
snare ..x.xxxx
1x @f
kick  x.......
snare x...x...
block ..x.....
1x @f
kick  X.......|........
crash X.......|........
"""

PIECE = Piece(
    name="entertainer",
    metre=(2, 4),
    key="C",
    programs={"keyboard": 3, "bass": 32, "guitar": 25},
    sections=(
        Section(
            "Introduction",
            4,
            82,
            keyboard=("@f " + INTRODUCTION,),
            bass=("-:h | - | - | @f G2:e' - G2:e>' -",),
            guitar=("-:h | - | @mf D3:s E3 C3 A2:e B2:s A2 G#2 | G2:e - G3,B3,D4:e>/' -",),
            drums=OPENING_DRUMS,
        ),
        Section(
            "Strain",
            16,
            82,
            keyboard=("@f " + _strain(CALL, "C5,C6:q -:q"),),
            bass=("@mp " + STRAIN_BASS,),
            guitar=("@p " + over(STRAIN_CHORDS, CHOP, VOICINGS),),
            drums=OOM_PAH,
        ),
        Section(
            "Trio",
            8,
            82,
            keyboard=("@p " + over(TRIO_CHORDS, CHOP, HIGH_VOICINGS) + f" -:e @f {UPBEAT}",),
            bass=("@mp " + TRIO_BASS,),
            guitar=("@f " + TRIO,),
            drums=TRIO_DRUMS,
        ),
        Section(
            "Strain, all",
            16,
            84,
            keyboard=("@ff " + _strain(FULL_CALL, "C5,C6:q. C5,C6:s D5,D6"),),
            bass=("@mf " + WALKING_BASS,),
            guitar=("@mp " + over(STRAIN_CHORDS, RAGGED_CHOP, VOICINGS),),
            drums=PARADE,
        ),
        Section(
            "Goodbye",
            5,
            (84, 60),
            keyboard=(f"@ff {ROLLING} | {CLOSE} | C5,C6:e' - F4,B4,D5,G5:e>' - | @ff E4,G4,C5,E5,C6:h+h_>",),
            bass=("@mf F2:q F#2 | G2 G2:e B2 | C3:e' - G2:e>' - | C2:h+h_>",),
            guitar=(
                "@mp " + over("F F#o | C G7", CHOP, VOICINGS) + " | E3,G3,C4:e/' - F3,G3,B3:e>/' -"
                " | @f C3,G3,C4,E4:h+h_>/",
            ),
            drums=GOODBYE,
        ),
    ),
)
