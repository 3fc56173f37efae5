"""What is not installed with the core: numpy, onnxruntime and tokenizers, loaded at the first need."""

from __future__ import annotations

import importlib
from typing import Any

from signalbox.core.errors import ConfigError

_LACKING = "a semantic cache and its encoder need an extra: install signalbox[embed]."


def numpy() -> Any:
    """Raises ConfigError without the extra."""
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
