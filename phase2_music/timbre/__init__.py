"""Audio -> Audio: an effect takes on an instrument's timbre. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

TIMBRE_ENGINES = EngineTable(
    "timbre",
    {
        "resonator": EngineEntry(
            "phase2_music.timbre.engines.resonator:Resonator",
            "harmonic resynthesis with the effect's own noise around each harmonic: nearly any sound, in tune",
        ),
        "none": EngineEntry(
            "phase2_music.timbre.engines.none:NoTimbre",
            "the effect as it is; an unpitched effect then stays out of tune",
        ),
    },
)
