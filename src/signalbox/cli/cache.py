"""`signalbox cache stats|invalidate`: what kept answers did, and how to end them, with the server running or not."""

from __future__ import annotations

import argparse
import getpass

import msgspec

from signalbox.bootstrap.clock import now_ms
from signalbox.cache.ending import end, held
from signalbox.cache.shelf import EVERYTHING, figures, secret_from
from signalbox.cache.stats import told
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path, existing_state
from signalbox.config.load import read_bytes
from signalbox.config.shared_cache import stated_shared_cache
from signalbox.control.state import JOURNAL, StateDir
from signalbox.core.caching import SharedCache
from signalbox.core.errors import StoreError
from signalbox.core.records import Action
from signalbox.ledger.actions import record

_KINDS = ("workload", "deployment", "model", "tenant", "key", "tag")


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="stats|invalidate", required=True)
    stats = verbs.add_parser("stats", help="what the cache of each workload did")
    ended = verbs.add_parser("invalidate", help="end kept answers, on every worker at once")
    for kind in _KINDS:
        ended.add_argument(f"--{kind}", action="append", default=[], help=f"those of a {kind} (repeatable)")
    ended.add_argument("--all", action="store_true", help="all of them")
    for sub in (stats, ended):
        add_state_dir(sub)
        add_json(sub)
        add_config(sub)


def run(options: argparse.Namespace) -> int:
    shared = _shared(options)
    if shared is None:
        existing_state(options.state_dir, JOURNAL)
    state = StateDir(options.state_dir)
    return _stats(options, state, shared) if options.what == "stats" else _invalidate(options, state, shared)


def _stats(options: argparse.Namespace, state: StateDir, shared: SharedCache | None) -> int:
    """One line a workload."""
    found = told(figures(state.cache))
    if shared is not None:
        found["shared"] = _held(shared, state)
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    print(f"{found['entries']} answers on the disk, {found['bytes']} bytes")
    if shared is not None:
        told_of = found["shared"]
        print(told_of.get("error") or f"{told_of['entries']} answers on the server, {told_of['bytes']} bytes")
    for row in found["workloads"]:
        outcomes = row.pop("outcomes")
        print("  ".join(f"{name}={value}" for name, value in {**row, **outcomes}.items() if value is not None))
    return 0


def _shared(options: argparse.Namespace) -> SharedCache | None:
    path = config_path(options.config)
    return stated_shared_cache(read_bytes(path), str(path)) if path is not None else None


def _held(shared: SharedCache, state: StateDir) -> dict[str, object]:
    try:
        return msgspec.structs.asdict(held(shared, secret_from(state.pepper())))
    except StoreError as error:
        return {"error": str(error)}


def _invalidate(options: argparse.Namespace, state: StateDir, shared: SharedCache | None) -> int:
    tags = [f"{kind}:{name}" for kind in _KINDS for name in getattr(options, kind)]
    if options.all:
        tags = [EVERYTHING]
    if not tags:
        print("Nothing was named: give --tag, --workload or another one, or --all.")
        return 2
    entry = Action(now_ms(), f"cli:{getpass.getuser()}", "admin", "cache.invalidate", " ".join(tags)[:512])
    record(state.journal, entry)
    gone = end(state.cache, secret_from(state.pepper()), tags, now_ms(), shared)
    if options.json:
        print(msgspec.json.encode({"tags": tags, "entries": gone}).decode())
    else:
        whose = "any" if shared is not None else "this"
        print(f"{gone} answers on the disk ended; no worker of {whose} machine gives one of them any more.")
    return 0
