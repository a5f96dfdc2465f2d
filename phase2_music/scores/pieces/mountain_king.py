"""Grieg, In the Hall of the Mountain King: one tune thrice, higher, louder, faster, then the chase."""

from __future__ import annotations

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import octave, over

TUNE = (
    "B3:e C#4 D4 E4 F#4 D4 F#4:q> | F4:e C#4 F4:q> E4:e C4 E4:q> | B3:e C#4 D4 E4 F#4 D4 F#4 B4 | A4 F#4 D4 F#4 A4:h>"
)
ANSWER = (
    "F#4:e G#4 A#4 B4 C#5 A#4 C#5:q> | D5:e A#4 D5:q> C#5:e A#4 C#5:q> |"
    " F#4:e G#4 A#4 B4 C#5 A#4 C#5:q> | D5:e A#4 D5:q> C#5:h>"
)
ALL = f"{TUNE} | {TUNE} | {ANSWER} | {TUNE}"

TUNE_CHORDS = "Bm Bm | C# C | Bm Bm | D D"
ANSWER_CHORDS = "F# F# | F#+ F# | F# F# | F#+ F#"
ALL_CHORDS = f"{TUNE_CHORDS} | {TUNE_CHORDS} | {ANSWER_CHORDS} | {TUNE_CHORDS}"
DYADS = {"Bm": "F#4,B4", "C#": "F4,C#5", "C": "E4,C5", "D": "F#4,A4", "F#": "F#4,A#4", "F#+": "A#4,D5"}
LOW_DYADS = {"Bm": "F#3,D4", "C#": "F3,C#4", "C": "E3,C4", "D": "F#3,D4", "F#": "F#3,A#3", "F#+": "A#3,D4"}
STRUMS = {
    "Bm": "B2,F#3,B3,D4",
    "C#": "C#3,F3,C#4,F4",
    "C": "C3,E3,C4,E4",
    "D": "D3,A3,D4,F#4",
    "F#": "C#3,F#3,A#3,F#4",
    "F#+": "D3,F#3,A#3,D4",
}
ROOTS = {"Bm": "B2,F#2", "C#": "F2,C#3", "C": "E2,C3", "D": "D3,A2", "F#": "F#2,C#3", "F#+": "F#2,A#2"}
AFTERBEAT = "-:e 0,1:e' - 0,1'"

TIPTOE = """
4x @pp
hat   ..x...x...x...x.
4x @pp
hat   ..x...x...x...x.
kick  o...............
4x @pp<p
hat   ..x...x...x...x.
rim   ....o.......o...
kick  o.......o.......
3x @p
hat   ..x...x...x...x.
rim   ....o.......o...
kick  x.......x.......
1x @p<mp
hat   ..x...x...x.....
kick  x.......x.......
low   ............x.x.
"""
MARCH = """
7x @mp
hat   x.o.x.o.x.o.x.o.
snare ....x.......x...
kick  x.......x.......
1x @mp<mf
hat   x.o.x.o.x.......
snare ....x.......x.xx
kick  x.......x.......
7x @mf
hat   x.o.x.o.x.o.x.o.
snare ....x.......x..o
kick  x.....o.x.......
1x @mf<f
hat   x.o.x.o.........
snare ....x...x.x.....
low   ............xxxx
kick  x.......x.......
"""
STAMPEDE = """
1x @f
crash x...............
open  ....x.......x...
snare ....X.......X...
kick  x...x...x...x...
6x @f
hat   x.o.x.o.x.o.x.o.
snare ....X.......X...
kick  x...x...x...x...
1x @f
hat   x.o.x.o.x.......
snare ....X.......xxxx
kick  x...x...x...x...
1x @f
crash x...............
open  ....x.......x...
snare ....X.......X...
kick  x...x...x...x...
6x @f<ff
hat   x.x.x.x.x.x.x.x.
snare ....X.......X.o.
kick  x...x...x...x.x.
1x @ff
snare xxxx............
high  ....xxxx........
mid   ........xxxx....
floor ............xxxx
kick  x...x...x...x...
"""
CHASE = """
1x @ff
crash X...............
kick  X...............
high  ........x.x.....
low   ............x.x.
1x @f
snare x.x.x.x.X.x.X...
kick  x...x...x...x...
1x @ff
crash X...............
kick  X...............
high  ........x.x.....
low   ............x.x.
1x @f
snare x.x.x.x.X.x.X...
kick  x...x...x...x...
1x @ff
crash X...............
kick  X...............
high  ........x.x.....
low   ............x.x.
1x @f
snare x.x.x.x.X.x.x.x.
kick  x...x...x...x...
2x @mp<ff
snare xoxoxoxoxoxoxoxo
kick  x...x...x...x...
1x @ff
crash X.......X.......
kick  X.......X.......
snare X.......X.......
1x @ff
crash X...............
kick  X...............
1x @pp<ff
floor oooooooooooooooo
"""

RUN = "B4:e C#5 D5 E5 F#5 D5 F#5:q>"
LAST_RUN = "B4:e C#5 D5 E5 F#5 D5 F#5 B5"
KEYBOARD_CHASE = (
    f"@ff F#4,B4,D5,F#5:q>' -:q -:h | @f {RUN} | @ff G4,B4,D5,G5:q>' -:q -:h | @f {RUN} |"
    f" @ff G4,C#5,E5,G5:q>' -:q -:h | @f {LAST_RUN} |"
    " @mp<ff F#5:e D5 F#5 D5 F#5 D5 F#5 D5 | F5 C#5 F5 C#5 E5 C5 E5 C5 |"
    " @ff F#4,A#4,C#5,E5:q>' -:q F#4,A#4,C#5,E5:q>' -:q | F#4,B4,D5:q>' -:q -:h | -:w"
)
GUITAR_CHASE = (
    f"@ff B2,F#3,B3,D4:q>/ -:q -:h | @f {octave(RUN, -1)} |"
    f" @ff B2,G3,B3,D4:q>/ -:q -:h | @f {octave(RUN, -1)} |"
    f" @ff C#3,G3,C#4,E4:q>/ -:q -:h | @f {octave(LAST_RUN, -1)} |"
    f" @mp<ff {over('Bm Bm | C# C', '0,1:e 0,1 0,1 0,1', {'Bm': 'B3,D4', 'C#': 'C#4,F4', 'C': 'C4,E4'})} |"
    " @ff C#3,F#3,A#3,E4:q>/ -:q C#3,F#3,A#3,E4:q>/ -:q | B2,F#3,B3,D4:q>/ -:q -:h | -:w"
)
BASS_CHASE = (
    f"@ff B2:q>' -:q -:h | @f {octave(RUN, -3)} | @ff G2:q>' -:q -:h | @f {octave(RUN, -3)} |"
    f" @ff E2:q>' -:q -:h | @f {octave(LAST_RUN, -3)} |"
    " @mp<ff B1:e B1 B1 B1 B1 B1 B1 B1 | C#2 C#2 C#2 C#2 C2 C2 C2 C2 |"
    " @ff F#2:q>' -:q F#2:q>' -:q | B1:q>' -:q -:h | -:w"
)

PIECE = Piece(
    name="mountain-king",
    metre=(4, 4),
    key="Bm",
    programs={"keyboard": 3, "bass": 33, "guitar": 28},
    sections=(
        Section(
            "At the gate",
            2,
            104,
            keyboard=("@pp F#5:w_ | F#4:w_",),
            drums="1x @pp\nkick x.......o.......\n1x @pp\nkick x.......o.......\nhat ..........x...x.",
        ),
        Section(
            "On tiptoe",
            16,
            (104, 120),
            keyboard=(
                "@pp -:w | - | - | - | "
                + over(f"{TUNE_CHORDS} | {ANSWER_CHORDS} | @p {TUNE_CHORDS}", AFTERBEAT, DYADS),
            ),
            bass=("@mp @staccato " + octave(ALL, -2),),
            guitar=("@p<mp @staccato " + octave(ALL, -1),),
            drums=TIPTOE,
        ),
        Section(
            "The trolls gather",
            16,
            (120, 152),
            keyboard=(
                f"@p {over(TUNE_CHORDS, AFTERBEAT, DYADS)} | @f @staccato {octave(TUNE, 1)} |"
                f" @p @normal {over(ANSWER_CHORDS, AFTERBEAT, DYADS)} | @f<ff @staccato {octave(TUNE, 1)}",
            ),
            bass=("@mp " + over(ALL_CHORDS, "0:q' 1'", ROOTS),),
            guitar=(
                f"@mf @staccato {TUNE} | @p @normal {over(TUNE_CHORDS, AFTERBEAT, LOW_DYADS)} |"
                f" @mf @staccato {octave(ANSWER, -1)} | @mf<f {TUNE}",
            ),
            drums=MARCH,
        ),
        Section(
            "Stampede",
            16,
            (152, 196),
            keyboard=("@f<ff @staccato " + octave(ALL, 1), "@f<ff @staccato " + ALL),
            bass=("@mf<f " + over(ALL_CHORDS, "0:e' 0' 1' 0'", ROOTS),),
            guitar=("@mp<mf " + over(ALL_CHORDS, "-:e 0,1,2,3:e/' - 0,1,2,3/'", STRUMS),),
            drums=STAMPEDE,
        ),
        Section(
            "The chase",
            11,
            (200, 212),
            keyboard=(KEYBOARD_CHASE,),
            bass=(BASS_CHASE,),
            guitar=(GUITAR_CHASE,),
            drums=CHASE,
        ),
        Section(
            "Daylight",
            2,
            120,
            keyboard=("@ff F#4,B4,D5,F#5:w+w>_",),
            bass=("@ff B1:w+w>_",),
            guitar=("@ff B2,F#3,B3,D4:w+w>_/",),
            drums="1x @ff\ncrash X...............|................\nkick X...............|................",
        ),
    ),
)
