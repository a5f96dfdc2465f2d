"""What can be listed without making anything: the bundled scores."""

from __future__ import annotations

from functools import cache
from typing import Any

from phase2_music.rendering.score import read_score
from phase2_music.scores import bundled_scores


@cache
def score_rows() -> tuple[dict[str, Any], ...]:
    """The bundled scores with what they hold: names, length in s, tempo in beats per minute, metre, roles."""
    rows = []
    for score in bundled_scores().values():
        parsed = read_score(score.path)
        rows.append(
            {
                "name": score.name,
                "title": score.title,
                "composer": score.composer,
                "mood": score.mood,
                "duration_s": round(parsed.duration_s, 1),
                "tempo_bpm": parsed.tempo_bpm,
                "metre": parsed.metre,
                "roles": list(parsed.roles),
            }
        )
    return tuple(rows)
