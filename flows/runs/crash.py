"""What a child process leaves behind when it meets a mistake of ours."""

from __future__ import annotations


class StageCrashError(Exception):
    """A programming mistake in a stage, with the child's traceback: not one of our errors, which are the user's to mend."""
