"""The bundled scores: arrangements of public-domain music for the four-role band, written by `arrange.py`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.errors import ScoreError

_FOLDER = Path(__file__).parent
_MIDI_SUFFIXES = (".mid", ".midi")

# name, title, composer, mood; the first is the one to show first.
_TABLE = (
    ("canon", "Canon in D", "Johann Pachelbel", "serene"),
    ("greensleeves", "Greensleeves", "Traditional", "wistful"),
    ("mountain-king", "In the Hall of the Mountain King", "Edvard Grieg", "mischievous, faster and faster"),
    ("gymnopedie", "Gymnopédie No. 1", "Erik Satie", "slow, melancholy"),
    ("entertainer", "The Entertainer", "Scott Joplin", "cheerful, ragged"),
    ("ode-to-joy", "Ode to Joy", "Ludwig van Beethoven", "triumphant"),
)


@dataclass(frozen=True)
class BundledScore:
    """A score that comes with the project; `path` is its MIDI file."""

    name: str
    title: str
    composer: str
    mood: str
    path: Path


def bundled_scores() -> dict[str, BundledScore]:
    """The bundled scores by name, the best one to show first."""
    return {
        name: BundledScore(name, title, composer, mood, _FOLDER / f"{name}.mid")
        for name, title, composer, mood in _TABLE
    }


def find_score(text: str) -> Path:
    """The MIDI file that `text` asks for: the name of a bundled score or the path of a file.

    An existing file wins over a name if it ends in .mid or .midi; otherwise the name wins.

    Raises:
        ScoreError: `text` is neither a bundled name nor a file.
    """
    path = Path(text).expanduser() if text.startswith("~/") else Path(text)
    exists = _is_file(path)
    if exists and path.suffix.lower() in _MIDI_SUFFIXES:
        return path
    score = bundled_scores().get(text.strip().lower())
    if score is not None:
        return score.path
    if exists:
        return path
    names = ", ".join(bundled_scores())
    raise ScoreError(f"no score {text!r}: give the path of a MIDI file or one of the bundled scores: {names}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file system accepts
        return False
