"""The timbre models that come with photone, and what they mean for the default engine. Imports nothing heavy."""

from __future__ import annotations

import json
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "soundfonts" / "timbres"
"""Where models that come with photone lie, one folder for each role."""
CARD = "card.json"


def preferred_engine() -> str | None:
    """`rave` as soon as one shipped model has passed its gate; None where none has: then the table's first engine stands.

    A role whose model is missing, or missed its gate, is the resonator's under `rave`, too.
    """
    return "rave" if any(_passed(path) for path in sorted(SHIPPED.glob(f"*/{CARD}"))) else None


def _passed(card: Path) -> bool:
    # Whether it is a whole card of the files beside it is for the engine to say, which reads it when it is asked for.
    try:
        gate = json.loads(card.read_text(encoding="utf-8")).get("gate")
    except (OSError, ValueError, AttributeError):
        return False
    return isinstance(gate, dict) and gate.get("passed") is True
