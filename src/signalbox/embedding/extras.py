"""What is not installed with the core: numpy, onnxruntime and tokenizers, loaded at the first need."""

from __future__ import annotations

import importlib
import os
from typing import Any

from signalbox.core.errors import ConfigError

_LACKING = "semantic caches, and questions compared by meaning, need an extra: install signalbox[embed]."


def numpy() -> Any:
    """One thread: where requests want the processors, more are slower. Raises ConfigError without the extra."""
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    return _module("numpy")


def onnxruntime() -> Any:
    """Raises ConfigError without the extra."""
    return _module("onnxruntime")


def tokenizers() -> Any:
    """Raises ConfigError without the extra."""
    return _module("tokenizers")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError([_LACKING]) from None
