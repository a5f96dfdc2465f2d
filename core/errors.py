"""One family of errors: what was wrong, where, and what to do.

Every error that a user can cause derives from `PhotoneError`. The command line prints its message on one line and exits
with `exit_status`; flows retry when `retryable` is set. A programming mistake is none of these: it crashes.
"""


class PhotoneError(Exception):
    """Root of the family.

    `exit_status` is 2 where the user's input or usage is at fault and 1 otherwise. `retryable` is True where the same
    call may succeed later (a busy server, say).
    """

    exit_status = 1
    retryable = False

    def __init__(self, message: str, *, retryable: bool | None = None) -> None:
        super().__init__(" ".join(message.split()))
        if retryable is not None:
            self.retryable = retryable


class UsageError(PhotoneError):
    """An argument names something that does not exist, or two arguments contradict each other."""

    exit_status = 2


class PictureError(PhotoneError):
    """The picture cannot be read."""

    exit_status = 2


class SceneError(PhotoneError):
    """A scene document is not valid."""

    exit_status = 2


class AudioError(PhotoneError):
    """A sound file cannot be read, or a sound is not usable."""

    exit_status = 2


class ScoreError(PhotoneError):
    """A MIDI score cannot be read or holds nothing to play."""

    exit_status = 2


class InstrumentError(PhotoneError):
    """An instrument cannot be built, read or played."""

    exit_status = 2


class DocumentError(PhotoneError):
    """A document that we wrote earlier (run.json, song.json, ...) is damaged or of another version."""

    exit_status = 2


class EngineError(PhotoneError):
    """An engine cannot run here: a package, a weight or a library is missing, or it failed."""


class OutputError(PhotoneError):
    """The output folder cannot be written to."""

    exit_status = 2


class DiskFullError(OutputError):
    """The disk is full: the user's input is not at fault."""

    exit_status = 1
