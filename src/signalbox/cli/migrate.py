"""`signalbox migrate`: brings the database to this version, before processes of this version start."""

from __future__ import annotations

import argparse
import contextlib

import msgspec

from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path
from signalbox.control.state import StateDir
from signalbox.store.migrations import MIGRATIONS


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """0 when the database is at this version; doing it twice changes nothing. Raises StoreError when it cannot be."""
    url = stated_store(config_path(options.config))
    with contextlib.closing(open_store(StateDir(options.state_dir), url)) as store:
        store.keys_version()
    if options.json:
        print(msgspec.json.encode({"schema": len(MIGRATIONS)}).decode())
    else:
        print(f"The database has schema {len(MIGRATIONS)}.")
    return 0
