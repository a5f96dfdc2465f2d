"""Picture -> Scene. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

VISION_ENGINES = EngineTable(
    "vision",
    {
        "embedded": EngineEntry(
            "phase1_sound.vision.engines.embedded:EmbeddedVision",
            "classical picture analysis: regions by colour and texture; recognises no objects",
        ),
        "sidecar": EngineEntry(
            "phase1_sound.vision.engines.sidecar:SidecarVision",
            "a scene.json written by hand: sidecar:scene.json",
            needs_argument="the path of a scene.json",
        ),
    },
)
