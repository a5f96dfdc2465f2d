"""Qwen2.5-VL on this machine. Only `model.py` and `decoding.py` import torch and its kin."""

from phase1_sound.vision.engines.qwen.engine import QwenOptions, QwenVision

__all__ = ["QwenOptions", "QwenVision"]
