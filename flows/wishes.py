"""What people write in one line: roles for tracks, effects for roles."""

from __future__ import annotations

import re

from core.errors import UsageError
from schemas.document import ROLES, Role


def parse_map(text: str) -> dict[str, Role]:
    """Parse "Lead=guitar,3=bass" into roles by track name or number.

    Raises:
        UsageError: it cannot be read so.
    """
    wishes: dict[str, Role] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        track, _, name = part.rpartition("=")
        role = next((role for role in ROLES if role == name.strip().lower()), None)
        if role is None or not track.strip():
            raise UsageError(f"--map {part}: expected TRACK=ROLE, roles are {', '.join(ROLES)}")
        wishes[track.strip()] = role
    return wishes


def parse_cast(text: str) -> dict[Role, tuple[int, ...]]:
    """Parse "bass=3,drums=1+4".

    Raises:
        UsageError: it cannot be read so.
    """
    wishes: dict[Role, tuple[int, ...]] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, numbers = part.partition("=")
        role = next((role for role in ROLES if role == name.strip()), None)
        if role is None or not re.fullmatch(r"\d{1,4}(\+\d{1,4})*", numbers.strip()):
            raise UsageError(
                f"--cast {part}: expected ROLE=NUMBER or drums=NUMBER+NUMBER, roles are {', '.join(ROLES)}"
            )
        wishes[role] = tuple(dict.fromkeys(int(number) for number in numbers.split("+")))
    return wishes
