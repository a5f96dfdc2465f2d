"""What the engines that run a pipeline of diffusers share. Only `pipeline.py` imports torch and its kin."""
