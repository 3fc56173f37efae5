"""`signalbox apply`: puts a plan's routing table into signalbox.yaml, keeps the old one, and goes back to one by id."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from signalbox.bootstrap.compiling import compile_declared
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path, existing_state
from signalbox.cli.words import read_plan, with_extra
from signalbox.config.load import load, load_text, read_bytes
from signalbox.control.state import JOURNAL, StateDir
from signalbox.control.versions import Change, Versions, write_whole
from signalbox.core.errors import ConfigError


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, nargs="?", help="the plan.json of `signalbox plan`")
    parser.add_argument("--yes", action="store_true", help="write; without it only the difference is shown")
    parser.add_argument(
        "--partial", action="store_true", help="apply although options of the plan are not deployed yet"
    )
    parser.add_argument("--rollback", metavar="ID", help="go back to a kept version")
    parser.add_argument("--list", action="store_true", help="list kept versions")
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """0 when the file says what was asked for, 1 when the plan is stale or lacks deployments, 2 for files not read."""
    if options.list or options.rollback is not None:
        existing_state(options.state_dir, JOURNAL)
    versions = Versions(StateDir(options.state_dir).root)
    if options.list:
        kept = versions.list()
        if not kept:
            print("no versions are kept: `apply` and the console keep each text that they replace", file=sys.stderr)
        for version in kept:
            print(
                msgspec.json.encode(version).decode()
                if options.json
                else f"{version.id}  {version.time}  {version.why}"
            )
        return 0
    path = config_path(options.config)
    if path is None or (options.plan is None) == (options.rollback is None):
        print(
            "Name a plan.json, or pass --rollback ID; and --config with the signalbox.yaml to change.", file=sys.stderr
        )
        return 2
    if options.rollback is not None:
        content = versions.content(options.rollback)
        change = Change(read_bytes(path).decode(), content.decode(), ())
        _show(change, str(path), as_json=options.json)
        return _write(path, versions, content, f"rollback to {options.rollback}", options)
    # Only plans need the extra: going back has to work where none was ever made.
    planned = with_extra("signalbox.control.apply_plan")
    plan = read_plan(options.plan)
    declared = load(path)
    try:
        change: Change = planned.change_of(plan, declared, read_bytes(path).decode())
    except ConfigError as error:
        print(str(error), file=sys.stderr)
        return 1
    _show(change, str(path), as_json=options.json)
    if change.missing and not options.partial:
        print("Not applied: deploy these first, or pass --partial.", file=sys.stderr)
        return 1
    if change.before == change.after:
        return 0
    return _write(path, versions, change.after.encode(), f"plan {plan.fingerprint}", options)


def _show(change: Change, name: str, *, as_json: bool) -> None:
    if as_json:
        print(msgspec.json.encode({"diff": change.diff(name), "missing": change.missing}).decode())
        return
    print(change.diff(name) or f"{name} says this already.", end="\n" if change.before == change.after else "")
    for missing in change.missing:
        print(f"missing: {missing}")


def _write(path: Path, versions: Versions, content: bytes, why: str, options: argparse.Namespace) -> int:
    """The old content is kept first. What is written has been compiled, so that a gateway that watches it takes it."""
    before = read_bytes(path)
    compile_declared(load_text(content, str(path)), 1)
    if not options.yes:
        print("Nothing was written. Pass --yes to write.", file=sys.stderr)
        return 0
    now = datetime.now(UTC).isoformat(timespec="seconds")
    kept = versions.keep(before, load_text(before, str(path)).version, now, why)
    try:
        write_whole(path, content)
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror}). Apply the difference by hand."]) from None
    print(f"Written. Go back with: signalbox apply --rollback {kept.id} --yes", file=sys.stderr)
    return 0
