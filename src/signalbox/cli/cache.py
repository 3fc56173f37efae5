"""`signalbox cache stats|invalidate`: what kept answers did, and how to end them, with the server running or not."""

from __future__ import annotations

import argparse
import getpass

import msgspec

from signalbox.bootstrap.clock import now_ms
from signalbox.cache.shelf import EVERYTHING, figures, invalidate, secret_from
from signalbox.cache.stats import told
from signalbox.cli.options import add_json, add_state_dir
from signalbox.control.state import StateDir
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
        sub.add_argument("--config", help="not needed; taken so that it may stand in every command")


def run(options: argparse.Namespace) -> int:
    state = StateDir(options.state_dir)
    return _stats(options, state) if options.what == "stats" else _invalidate(options, state)


def _stats(options: argparse.Namespace, state: StateDir) -> int:
    """One line a workload."""
    found = told(figures(state.cache))
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0
    print(f"{found['entries']} answers on the disk, {found['bytes']} bytes")
    for row in found["workloads"]:
        outcomes = row.pop("outcomes")
        print("  ".join(f"{name}={value}" for name, value in {**row, **outcomes}.items() if value is not None))
    return 0


def _invalidate(options: argparse.Namespace, state: StateDir) -> int:
    tags = [f"{kind}:{name}" for kind in _KINDS for name in getattr(options, kind)]
    if options.all:
        tags = [EVERYTHING]
    if not tags:
        print("Nothing was named: give --tag, --workload or another one, or --all.")
        return 2
    entry = Action(now_ms(), f"cli:{getpass.getuser()}", "admin", "cache.invalidate", " ".join(tags)[:512])
    record(state.journal, entry)
    gone = invalidate(state.cache, secret_from(state.pepper()), tags, now_ms())
    if options.json:
        print(msgspec.json.encode({"tags": tags, "entries": gone}).decode())
    else:
        print(f"{gone} answers on the disk ended; no worker of this machine gives one of them any more.")
    return 0
