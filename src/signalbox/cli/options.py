"""Options that several verbs share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from signalbox.core.errors import ConfigError

DEFAULT_CONFIG = Path("signalbox.yaml")
DEFAULT_STATE_DIR = Path(".signalbox")


def add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", type=Path, help=f"the configuration (default: {DEFAULT_CONFIG} here, when there is one)"
    )


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    default = Path(os.environ.get("SIGNALBOX_STATE_DIR", DEFAULT_STATE_DIR))
    parser.add_argument(
        "--state-dir", type=Path, default=default, help="journal, store and secrets (default: %(default)s)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def port(text: str) -> int:
    """A port as `argparse` reads it: the sockets below would take 99999 for 34463."""
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535, 0 for a free one")
    return int(text)


def existing_state(root: Path, part: str) -> Path:
    """A folder of a state directory that is to be read. Raises ConfigError when it is not there: what is asked of a
    mistyped place would be answered with nothing, as if nothing had ever happened."""
    if not (root / part).is_dir():
        raise ConfigError([f"{root}: holds no {part}. Pass --state-dir with the one that `signalbox serve` writes."])
    return root / part


def config_path(given: Path | None) -> Path | None:
    """The configuration to use, or None when nothing was given and there is none here."""
    if given is not None:
        return given
    return DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None


def needed_config(given: Path | None) -> Path:
    """The configuration to use. Raises ConfigError when there is none."""
    path = config_path(given)
    if path is None:
        raise ConfigError([f"There is no {DEFAULT_CONFIG} here. Pass --config with its path."])
    return path


def write(path: Path, content: bytes) -> None:
    """Raises ConfigError when the file cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror}). Name another place."]) from None
