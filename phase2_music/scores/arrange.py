"""Write the bundled scores: `python -m phase2_music.scores.arrange` makes the `.mid` files beside this one.

The notes are public-domain music, set for the four-role band in `pieces/`. The same source gives the same
bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from phase2_music.scores import bundled_scores
from phase2_music.scores.band import Piece, write_midi
from phase2_music.scores.pieces import canon, entertainer, greensleeves, gymnopedie, mountain_king, ode

PIECES: tuple[Piece, ...] = (
    canon.PIECE,
    greensleeves.PIECE,
    mountain_king.PIECE,
    gymnopedie.PIECE,
    entertainer.PIECE,
    ode.PIECE,
)


def write_all(folder: Path) -> list[Path]:
    """Write every bundled score into `folder`, which must exist; returns the files."""
    return [_write(piece, folder) for piece in PIECES]


def _write(piece: Piece, folder: Path) -> Path:
    score = bundled_scores()[piece.name]
    path = folder / score.path.name
    credit = f"Music: {score.composer}, public domain. Arranged for a band of four in photone, Apache-2.0."
    write_midi(piece, score.title, credit, path)
    return path


def main() -> None:
    """Write the scores beside this file and say where they are."""
    for path in write_all(Path(__file__).parent):
        sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
