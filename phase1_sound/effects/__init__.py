"""Variant -> Audio. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

EFFECTS_ENGINES = EngineTable(
    "effects",
    {
        "foley": EngineEntry(
            "phase1_sound.effects.engines.foley.engine:Foley",
            "physically informed synthesis of materials and gestures; knows a table of them, not every word",
        ),
    },
)
