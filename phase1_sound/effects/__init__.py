"""Variant -> Audio. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

EFFECTS_ENGINES = EngineTable(
    "effects",
    {
        "foley": EngineEntry(
            "phase1_sound.effects.engines.foley.engine:Foley",
            "physically informed synthesis of impacts, friction, liquids, air and fire; knows materials and gestures, not words",
        ),
    },
)
