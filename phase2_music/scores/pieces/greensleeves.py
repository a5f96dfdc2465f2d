"""Greensleeves, traditional: A minor with the old raised sixth, and the old last chord, in major."""

from __future__ import annotations

from fractions import Fraction

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import octave, over

VERSE = """
    C5:q D5:e E5:e.> F#5:s E5:e        | D5:q B4:e G4:e. A4:s B4:e |
    C5:q A4:e A4:e. G#4:s A4:e         | B4:q G#4:e E4:q A4:e      |
    C5:q D5:e E5:e.> F#5:s E5:e        | D5:q B4:e G4:e. A4:s B4:e |
    C5:e. B4:s A4:e G#4:e. F#4:s G#4:e | A4:q. A4:q.
"""
CHORUS = """
    G5:q.> G5:e. F#5:s E5:e            | D5:q B4:e G4:e. A4:s B4:e |
    C5:q A4:e A4:e. G#4:s A4:e         | B4:q G#4:e E4:q.          |
    G5:q.> G5:e. F#5:s E5:e            | D5:q B4:e G4:e. A4:s B4:e |
    C5:e. B4:s A4:e G#4:e. F#4:s G#4:e | A4:q. A4:q.
"""

VERSE_CHORDS = "Am Am' | G Em | Am F | E E' | Am Am' | G Em | F E | Am Am'"
CHORUS_CHORDS_TO_UPBEAT = "C C' | G Em | Am F | E E' | C C' | G Em | Am E | Am"
CHORUS_CHORDS = CHORUS_CHORDS_TO_UPBEAT + " Am'"
VOICINGS = {
    "Am": "E3,A3,C4",
    "Am'": "A3,C4,E4",
    "G": "D3,G3,B3",
    "Em": "E3,G3,B3",
    "F": "F3,A3,C4",
    "E": "E3,G#3,B3",
    "E'": "G#3,B3,E4",
    "C": "E3,G3,C4",
    "C'": "G3,C4,E4",
}
RISING = "0:e 1 2"
TURNING = "0:e 2 1"
STRUMMED = "0,1,2:q/ 0,1,2:e\\"

VERSE_BASS = """
    A2:q. A2:q E2:e | G2:q. E2:q.      | A2:q. F2:q. | E2:q. E2:q B2:e |
    A2:q. A2:q E2:e | G2:q D3:e E2:q. | F2:q. E2:q. | A2:q E2:e A2:q.
"""
CHORUS_BASS = """
    C3:q G2:e C3:q E2:e | G2:q D3:e E2:q G2:e | A2:q E2:e F2:q C3:e  | E2:q B2:e E2:q G#2:e |
    C3:q G2:e E3:q C3:e | G2:q D3:e E2:q G2:e | A2:q C3:e E3:q E2:e | A2:q E2:e A2:q.
"""

SOFT = """
7x @pp
hat  o..x..
kick x.....
1x @p
hat  o..x.x
kick x.....
"""
DANCE = """
3x @mp
hat   x.ox.o
kick  x....o
rim   ...x..
1x @mp
hat   x.ox..
kick  x....o
rim   ...x..
tamb  ...xxx
3x @mp
hat   x.ox.o
kick  x....o
rim   ...x..
1x @mp<mf
hat   x.....
kick  x.....
rim   ..x...
low   ...xox
"""
HUSHED = """
7x @p
ride  x..o..
tamb  ...o.o
1x @p<mp
ride  x..o..
tamb  ...oxx
kick  ...x..
"""
FULL = """
1x @mf
crash x.....
kick  x..x..
tamb  ...X.x
2x @mf
ride  x.ox.o
kick  x.ox..
tamb  ...X..
1x @mf
ride  x.ox..
kick  x..x..
snare ....xx
3x @mf
ride  x.ox.o
kick  x.ox..
tamb  ...X..
1x @mf<f
ride  x.....
kick  x..x..
high  ..x...
mid   ...xo.
low   .....X
"""
FADING = """
1x @mp
crash x.....
kick  x.....
2x @p
ride  x..o..
kick  x.....
1x @pp
ride  x.....
kick  x.....
1x @pp
ride  o.....
"""
DOTTED_QUARTER = Fraction(3, 2)

PIECE = Piece(
    name="greensleeves",
    metre=(6, 8),
    key="Am",
    programs={"keyboard": 0, "bass": 32, "guitar": 24},
    sections=(
        Section(
            "Introduction",
            4,
            80,
            keyboard=("-:h. | -:h. | -:h. | @mp -:h -:e A4",),
            bass=("-:h. | -:h. | @p F2:q. E2:q. | A2:h.",),
            guitar=("@p<mp " + over("Am Am' | G Em | F E | Am Am'", RISING, VOICINGS),),
            drums="2x @pp\nride x.....\n2x @pp\nride x.....\nhat ...o..",
        ),
        Section(
            "Verse",
            8,
            84,
            keyboard=("@mf<f " + VERSE,),
            bass=("@mp " + VERSE_BASS,),
            guitar=("@pp<p " + over(VERSE_CHORDS, RISING, VOICINGS),),
            drums=SOFT,
        ),
        Section(
            "Chorus",
            8,
            84,
            keyboard=("@f " + CHORUS,),
            bass=("@mp " + CHORUS_BASS,),
            guitar=("@p " + over(CHORUS_CHORDS_TO_UPBEAT, TURNING, VOICINGS) + " A3:q @mf A4:e",),
            drums=DANCE,
        ),
        Section(
            "Verse, guitar",
            8,
            84,
            keyboard=("@pp " + over(VERSE_CHORDS, "0,1,2:q.", VOICINGS),),
            bass=("@p " + VERSE_BASS,),
            guitar=("@mf<f " + VERSE,),
            drums=HUSHED,
            pedal=DOTTED_QUARTER,
        ),
        Section(
            "Chorus, all",
            8,
            84,
            keyboard=("@ff " + CHORUS, "@f " + octave(CHORUS, -1)),
            bass=("@mf " + CHORUS_BASS,),
            guitar=("@p<mp " + over(CHORUS_CHORDS, STRUMMED, VOICINGS),),
            drums=FULL,
        ),
        Section(
            "Farewell",
            5,
            (80, 52),
            keyboard=(
                "@f<mp C5:q D5:e E5:e.> F#5:s E5:e | D5:q B4:e G4:e. A4:s B4:e |"
                " C5:e. B4:s A4:e G#4:e. F#4:s G#4:e | @mp C#4,E4,A4:h.+h._",
            ),
            bass=("@mp<p A2:q. C3:q. | G2:q. E2:q. | F2:q. E2:q. | A2:h.+h._",),
            guitar=(
                "@p " + over("Am Am' | G Em | F E", RISING, VOICINGS) + " | A2:e E3 A3 C#4:q. | @p E3,A3,C#4:h._/",
            ),
            drums=FADING,
        ),
    ),
)
