"""Everything that makes acids-rave 2.3.1 work on stacks newer than its own pins, in one place, with the reasons.

It pins SciPy 1.10 and Lightning 1.9 (which means Python 3.11). What else it meets on newer ones:

- SciPy 1.13 took `scipy.signal.kaiser` away, which `rave.pqmf` imports, and SciPy 1.14 `firwin(nyq=)`, which its
  `kaiser_filter` calls, and NumPy 2.4 the reading of an array of one number as a number, which it relies on:
  `_lend_kaiser` and `kaiser_filter`. The filter of the PQMF comes out identical (tests).
- Lightning 2 refuses a model with `validation_epoch_end`. It does so in its Trainer; our loop is plain PyTorch, so
  nothing needs to be done. That, and CUDA graphs, are why the loop is our own.
- Python 3.12 took `distutils` away, which GPUtil imports: `_lend_distutils`.
- PyTorch 2.9 and later export ONNX through torch.export by default, which fails on weight_norm's hooks: `export.py`
  names the other exporter (`dynamo=False`).
- `rave.core` imports GPUtil, librosa and lmdb, and `rave.dataset` requests and udls (which wants Flask), though nothing of
  that is called: on a machine without a package index they have to be brought along (docs/timbres.md lists the wheels).
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import warnings
from contextlib import redirect_stdout
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from core.errors import EngineError


def kaiser_filter(wc: float | npt.NDArray[np.float64], atten: float, N: int | None = None) -> npt.NDArray[np.float64]:  # noqa: N803 - RAVE's name
    """A Kaiser low-pass of corner `wc` (radians per sample) and attenuation `atten` in dB, `N` taps or as many as it takes.

    What `rave.pqmf.kaiser_filter` gives, by arguments of `firwin` that old and new SciPy know.
    """
    from scipy.signal import firwin, kaiserord

    # The search for the corner gives it as an array of one number, which NumPy 2 no longer takes for a number.
    width = np.asarray(wc).item() / np.pi
    taps, beta = kaiserord(atten, width)
    taps = N if N is not None else 2 * (taps // 2) + 1
    return np.asarray(firwin(taps, width, window=("kaiser", beta), scale=False))


@cache
def load_rave() -> Any:
    """The package rave, ready for this machine's libraries.

    Raises:
        EngineError: a package is missing.
    """
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            _lend_kaiser()
            _lend_distutils()
            import rave
            import rave.dataset
            import rave.descript_discriminator
            import rave.pqmf
            import rave.resampler
    except ImportError as error:
        raise EngineError(
            f"training needs the package {error.name or error}: install photone[train], or bring the wheels that "
            "docs/timbres.md lists"
        ) from error
    for module in (rave.pqmf, rave.resampler, rave.descript_discriminator):
        module.kaiser_filter = kaiser_filter
    return rave


def _lend_kaiser() -> None:
    """Put `scipy.signal.kaiser` where `rave.pqmf` imports it from; it is never called."""
    import scipy.signal

    if not hasattr(scipy.signal, "kaiser"):
        scipy.signal.kaiser = scipy.signal.windows.kaiser


def _lend_distutils() -> None:
    """Give Python 3.12 and later the `distutils` that GPUtil imports: setuptools brings one along."""
    if importlib.util.find_spec("distutils") is None:
        importlib.import_module("setuptools")  # for what its import does
