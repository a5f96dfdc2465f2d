"""Classical picture analysis. What it may suggest is data: sources.toml."""

from phase1_sound.vision.engines.embedded.engine import EmbeddedVision

__all__ = ["EmbeddedVision"]
