"""Processes that end with the process that started them, even when that is killed (Linux).

`photone up` is a small family: server, worker and player, and the worker's runs. A SIGKILL reaches one process only; without
this the others would keep the ports and go on working beside the next start's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading

WORKER_VARIABLE = "PHOTONE_WORKER_PID"
_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; end at once where that has happened already.

    The signal comes when the parent's thread that started us ends, so parents start us in their main thread. `parent` is the
    process id that the parent has told us: our own parent's id is another one as soon as it is gone.
    """
    bound = threading.Event()

    def bind() -> None:
        # prctl(2): the wish belongs to the thread that utters it and is gone with it. So this thread stays.
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        bound.set()
        threading.Event().wait()

    threading.Thread(target=bind, name="die-with-parent", daemon=True).start()
    bound.wait()
    if os.getppid() != parent:
        os._exit(1)


def die_with_worker() -> None:
    """In a run that a worker of `photone up` started: end with that worker. Elsewhere nothing happens."""
    if "PREFECT__FLOW_RUN_ID" not in os.environ:
        return  # the worker itself, or a command
    # Taken out of the environment: what the run starts itself has the run as its parent, not the worker.
    worker = os.environ.pop(WORKER_VARIABLE, "")
    if worker:
        die_with_parent(int(worker))
