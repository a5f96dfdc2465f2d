"""Satie, Gymnopédie No. 1: the first half as written, then the guitar, and the ending in minor."""

from __future__ import annotations

from fractions import Fraction

from phase2_music.scores.band import Piece, Section
from phase2_music.scores.notation import over

OPENING = "-:q F#5 A5 | G5 F#5 C#5 | B4 C#5 D5 | A4:h."
FIRST = OPENING + " | F#4:h.+h.+h.+h."
SECOND = OPENING + " | C#5:h. | F#5 | E4:h.+h.+h."
MIDDLE = """
    A4:q B4 C5 | E5 D5 B4 | D5 C5 B4 | D5:h.+h D5:q |
    E5 F5 G5   | A5 C5 D5 | E5 D5 B4 | D5:h.+h D5:q
"""
TO_MAJOR = "G5:h. | F#5 | B4:q A4 B4 | C#5 D5 E5 | C#5 D5 E5 | F#4:h G4:q | C5:h. | D5"
TO_MINOR = "G5:h. | F5 | B4:q C5 F5 | E5 D5 C5 | E5 D5 C5 | F4:h G4:q | C5:h."

VOICINGS = {
    "Gmaj7": "B3,D4,F#4",
    "Dmaj7": "A3,C#4,F#4",
    "F#m": "A3,C#4,F#4",
    "Bm": "B3,D4,F#4",
    "Em": "E3,G3,B3",
    "Em7": "G3,B3,D4",
    "Dm": "A3,D4",
    "Am": "A3,C4,E4",
    "Em/D": "G3,B3,E4",
    "D7": "A3,C4,F#4",
    "F": "A3,C4,F4",
    "A/E": "A3,C#4,E4",
    "A6/E": "A3,C#4,F#4",
    "Em9": "B3,D4",
    "Am7": "G3,C4,E4",
    "D": "A3,D4,F#4",
    "Bdim": "B3,D4,F4",
    "G7": "B3,D4",
}
SWAYING = "Gmaj7 | Dmaj7 | Gmaj7 | Dmaj7"
SECOND_CHORDS = f"{SWAYING} | F#m | Bm | Em | Em7 | Dm"
MIDDLE_CHORDS = "Am | Em/D | Em/D | Am | D7 | F | Am | Em/D | Em/D | Am"
MAJOR_CHORDS = "Em/D | F#m | Bm | A/E | A6/E | Em9 | Am7 | D"
MINOR_CHORDS = "Em/D | F | Bdim | Am | Am | G7 | Am7"

SWAYING_BASS = "G2:h. | D2 | G2 | D2"
SECOND_BASS = "G2:h. | D2:h A2:q | G2:h. | D2:h E2:q | F#2:h. | B2 | E2 | E2:h B2:q | D2:h."
MIDDLE_BASS = "A2:h. | D2 | D2:h A2:q | D2:h. | D2:h A2:q | D2:h. | D2:h A2:q | D2:h. | D2:h A2:q | D2:h."
MAJOR_BASS = "E2:h. | F#2 | B2:h A2:q | E2:h. | E2 | E2 | A2 | D2"
MINOR_BASS = "E2:h. | F2 | B2:h D3:q | E2:h. | A2 | G2 | A2"

LATE = "-:q 0,1,2:h/"
LATE_BROKEN = "-:q 0:e 1 2 1"
LATE_PAIR = "-:q 0,1:h"

SPARSE = "ride x.....|......"
BREATH = "ride x.....|x.....\nhat  ....o.|....o."


def _late(chords: str) -> str:
    """Each chord on the second beat, held to the bar line; two-note chords are not strummed."""
    return " ".join(
        word if word == "|" else over(word, LATE if VOICINGS[word].count(",") == 2 else LATE_PAIR, VOICINGS)
        for word in chords.split()
    )


PIECE = Piece(
    name="gymnopedie",
    metre=(3, 4),
    key="D",
    programs={"keyboard": 0, "bass": 35, "guitar": 24},
    sections=(
        Section(
            "Introduction",
            4,
            76,
            bass=("@p " + SWAYING_BASS,),
            guitar=("@pp " + _late(SWAYING),),
            drums=f"2x @ppp\n{SPARSE}",
        ),
        Section(
            "First phrase",
            8,
            76,
            keyboard=("@mf<f " + OPENING + " | @mf F#4:h.+h.+h.+h.",),
            bass=(f"@p {SWAYING_BASS} | {SWAYING_BASS}",),
            guitar=(f"@pp {_late(SWAYING)} | {_late(SWAYING)}",),
            drums=f"4x @ppp\n{SPARSE}",
            pedal=Fraction(3),
        ),
        Section(
            "Second phrase",
            9,
            76,
            keyboard=("@mf<f " + SECOND,),
            bass=("@p " + SECOND_BASS,),
            guitar=("@pp " + _late(SECOND_CHORDS),),
            drums=f"4x @pp\n{SPARSE}\n1x @pp\nride x.....",
            pedal=Fraction(3),
        ),
        Section(
            "Middle",
            10,
            (76, 78),
            keyboard=("@f " + MIDDLE, "@ppp " + _late(MIDDLE_CHORDS)),
            bass=("@p<mp " + MIDDLE_BASS,),
            guitar=("@pp " + over(MIDDLE_CHORDS, LATE_BROKEN, VOICINGS),),
            drums=f"5x @pp<p\n{BREATH}\nkick o.....|......",
        ),
        Section(
            "To D major",
            8,
            (78, 70),
            keyboard=("@ff<mf " + TO_MAJOR,),
            bass=("@mp<p " + MAJOR_BASS,),
            guitar=("@p<pp " + _late(MAJOR_CHORDS),),
            drums=f"1x @p\ncrash o.....|......\nkick o.....|......\n3x @pp\n{SPARSE}",
            pedal=Fraction(3),
        ),
        Section(
            "Interlude",
            2,
            76,
            keyboard=("@pp " + _late("Gmaj7 | Dmaj7"),),
            bass=("@p G2:h. | D2",),
            drums=f"1x @ppp\n{SPARSE}",
            pedal=Fraction(3),
        ),
        Section(
            "The guitar remembers",
            8,
            76,
            keyboard=(f"@pp {_late(SWAYING)} | {_late(SWAYING)}",),
            bass=("@p G2:h. | D2:h A2:q | G2:h. | D2:h A2:q | G2:h. | D2:h A2:q | G2:h. | D2",),
            guitar=("@mf<f " + OPENING + " | @mf F#4:h.+h.+h.+h.",),
            drums=f"4x @pp\n{BREATH}",
            pedal=Fraction(3),
        ),
        Section(
            "To D minor",
            7,
            (76, 66),
            keyboard=("@f<mf " + TO_MINOR,),
            bass=("@mp<p " + MINOR_BASS,),
            guitar=("@pp " + _late(MINOR_CHORDS),),
            drums=f"3x @pp\n{SPARSE}\n1x @pp\nride x.....",
            pedal=Fraction(3),
        ),
        Section(
            "Last chord",
            2,
            60,
            keyboard=("@mp F4,A4,D5:h.+h._",),
            bass=("@p D2:h.+h._",),
            guitar=("@pp D3,A3,D4,F4:h.+h._/",),
            drums="1x @pp\nride x.....|......\nkick o.....|......",
            pedal=Fraction(6),
        ),
    ),
)
