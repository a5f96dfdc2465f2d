"""Variant -> Audio. The table of engines; each is imported on first use."""

from core.engines import EngineEntry, EngineTable

EFFECTS_ENGINES = EngineTable(
    "effects",
    {
        "foley": EngineEntry(
            "phase1_sound.effects.engines.foley.engine:Foley",
            "physically informed synthesis of materials and gestures; knows a table of them, not every word",
        ),
        "audioldm2": EngineEntry(
            "phase1_sound.effects.engines.audioldm2:AudioLDM2",
            "AudioLDM2 on this machine: audioldm2, audioldm2:large or audioldm2:FOLDER; 16 kHz; wants a GPU; "
            "weights not for commercial use",
            extra="models",
            gpu=True,
        ),
        "stable-audio": EngineEntry(
            "phase1_sound.effects.engines.stable_audio:StableAudio",
            "Stable Audio on this machine: stable-audio, stable-audio:3 or stable-audio:FOLDER; 44.1 kHz stereo; "
            "wants a GPU; weights under Stability AI's licence",
            extra="models",
            gpu=True,
        ),
        "folder": EngineEntry(
            "phase1_sound.effects.engines.folder:Folder",
            "your own recordings, found by their names: folder:FOLDER, folder:FOLDER?map=FILE.toml",
            needs_argument="a folder of recordings",
        ),
    },
)
