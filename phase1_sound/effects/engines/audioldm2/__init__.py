"""AudioLDM2 on this machine. Only `model.py` imports torch and its kin."""

from phase1_sound.effects.engines.audioldm2.engine import AudioLDM2

__all__ = ["AudioLDM2"]
