"""`signalbox keys create|list|revoke|rotate`: virtual keys, with the server running or not."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path, existing_state
from signalbox.config.load import load
from signalbox.control.doorbell import ring
from signalbox.control.keys import GRACE_S_MAX, NewKey, make, rotate
from signalbox.control.state import JOURNAL, StateDir, confirm_pepper
from signalbox.core.days import DAY_MS
from signalbox.core.errors import ConfigError
from signalbox.core.keys import ROLES
from signalbox.core.ports import Store, VirtualKey
from signalbox.core.records import Action
from signalbox.core.secret import Secret
from signalbox.ledger.actions import record
from signalbox.policy.limits import CRITICALITIES


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of dollars") from None


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="create|list|revoke|rotate", required=True)
    made = verbs.add_parser("create", help="make a key; it is shown once")
    made.add_argument("--name", required=True, help="what the key is for")
    made.add_argument("--team", default="", help="the team it belongs to")
    made.add_argument("--tenant", default="default", help="the tenant it belongs to")
    made.add_argument("--workload", action="append", default=[], metavar="W", help="a workload it may use (repeatable)")
    made.add_argument("--deployment", action="append", default=[], metavar="D", help="a deployment it may name")
    made.add_argument("--data", action="append", default=[], metavar="CLASS", help="a data class of all its calls")
    made.add_argument("--api", action="append", default=[], metavar="API", help="an endpoint it may use, such as chat")
    made.add_argument("--model", action="append", default=[], metavar="M", help="a model or deployment it may reach")
    made.add_argument("--network", action="append", default=[], metavar="CIDR", help="a network it may be used from")
    made.add_argument("--role", default="", choices=("", *ROLES), help="a role on the admin API instead of calls")
    made.add_argument(
        "--criticality", default="", choices=("", *CRITICALITIES), help="its calls are never more urgent than this"
    )
    made.add_argument("--budget-usd", type=_amount, help="what it may spend in all, never exceeded")
    made.add_argument("--expires-days", type=float, help="days until it stops working")
    listed = verbs.add_parser("list", help="all keys, without their secrets")
    revoked = verbs.add_parser("revoke", help="end a key, on every worker within a second")
    revoked.add_argument("id", help="the key's public id")
    rotated = verbs.add_parser("rotate", help="a new key in place of one, with the same scope")
    rotated.add_argument("id", help="the key's public id")
    rotated.add_argument("--grace-s", type=int, default=0, help="seconds for which the old one still works")
    for sub in (made, listed, revoked, rotated):
        add_state_dir(sub)
        add_json(sub)
        add_config(sub)


def run(options: argparse.Namespace) -> int:
    elsewhere = stated_store(config_path(options.config))
    if elsewhere is None and options.what != "create":
        existing_state(options.state_dir, JOURNAL)
    state = StateDir(options.state_dir)
    store = open_store(state, elsewhere)
    try:
        confirm_pepper(store, state.pepper())
        if options.what == "create":
            return _create(options, state, store)
        if options.what == "list":
            rows = [_shown(row, now_ms()) for row in store.list_keys()]
            _print(rows, as_json=options.json)
            if not rows:
                print("no keys", file=sys.stderr)
            return 0
        if options.what == "rotate":
            return _rotate(options, state, store)
        if all(row.id != options.id for row in store.list_keys()):
            print(f"There is no key {options.id!r}. `signalbox keys list` shows them.", file=sys.stderr)
            return 1
        _record(state, "key.revoke", options.id)
        store.revoke_key(options.id, now_ms())
        ring(state.doorbell)
        _print([{"id": options.id, "state": "revoked"}], as_json=options.json)
        return 0
    finally:
        store.close()


def _create(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    now = now_ms()
    wanted = NewKey(
        name=options.name,
        tenant=options.tenant,
        team=options.team,
        workloads=tuple(options.workload),
        deployments=tuple(options.deployment),
        data=tuple(options.data),
        budget_usd=options.budget_usd,
        expires_ms=now + round(options.expires_days * DAY_MS) if options.expires_days is not None else None,
        role=options.role,
        apis=tuple(options.api),
        models=tuple(options.model),
        networks=tuple(options.network),
        criticality=options.criticality,
        creator="cli",
    )
    try:
        row, key = make(wanted, state.pepper(), now)
    except ValueError as error:
        print(f"The key was not made: {error}.", file=sys.stderr)
        return 2
    for problem in _not_declared(options):
        print(f"warning: {problem}", file=sys.stderr)
    _record(state, "key.create", row.id)
    store.insert_key(row)
    ring(state.doorbell)
    return _tell(row, key, as_json=options.json)


def _not_declared(options: argparse.Namespace) -> Iterator[str]:
    """What the key names and the configuration does not. The key is made all the same: keys may be made first, and a
    configuration that cannot be read here (its secrets are the gateway's) says nothing."""
    path = config_path(options.config)
    try:
        config = load(path).config if path is not None else None
    except ConfigError:
        return
    if config is None:
        return
    for kind, names, known in (
        ("workload", options.workload, config.workloads),
        ("deployment", options.deployment, config.deployments),
    ):
        for name in names:
            if name != "*" and name not in known:
                yield f"{path} has no {kind} {name!r}: until there is one, the key is of no use for it."
    reachable = {*config.deployments, *(deployment.model for deployment in config.deployments.values())}
    for name in options.model:
        if name not in reachable:
            yield f"{path} has no deployment or model {name!r}: until there is one, the key does not get there."
    if options.team and options.team not in config.teams:
        yield f"{path} has no team {options.team!r}: until there is one, no list of a team bounds what the key may use."


def _rotate(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    row = next((row for row in store.list_keys() if row.id == options.id), None)
    if row is None:
        print(f"There is no key {options.id!r}. `signalbox keys list` shows them.", file=sys.stderr)
        return 1
    if not 0 <= options.grace_s <= GRACE_S_MAX:
        print(f"--grace-s must be 0 to {GRACE_S_MAX} seconds.", file=sys.stderr)
        return 2
    _record(state, "key.rotate", options.id)
    try:
        fresh, key = rotate(store, row, state.pepper(), now_ms(), options.grace_s * 1000)
    except ValueError as error:
        print(f"The key was not rotated: {error}.", file=sys.stderr)
        return 1
    ring(state.doorbell)
    return _tell(fresh, key, as_json=options.json)


def _record(state: StateDir, action: str, target: str) -> None:
    """Whoever may write the state directory is its owner; which of the machine's users that was is on record."""
    record(state.journal, Action(now_ms(), f"cli:{getpass.getuser()}", "admin", action, target))


def _tell(row: VirtualKey, key: Secret, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode({"id": row.id, "key": key.reveal()}).decode())
    else:
        print(f"{key.reveal()}\nThis is shown once. Its id is {row.id}.")
    return 0


def _state(row: VirtualKey, at_ms: int) -> str:
    if row.revoked_ms is not None:
        return "revoked"
    return "expired" if row.expires_ms is not None and row.expires_ms <= at_ms else "active"


def _shown(row: VirtualKey, at_ms: int) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "tenant": row.tenant,
        "team": row.team,
        "workloads": list(row.workloads) if row.workloads is not None else None,
        "deployments": list(row.deployments_granted),
        "data": list(row.labels),
        "budget_usd": str(row.budget_usd) if row.budget_usd is not None else None,
        "role": row.role,
        "creator": row.creator,
        "apis": list(row.apis) if row.apis is not None else None,
        "models": list(row.models) if row.models is not None else None,
        "networks": list(row.networks) if row.networks is not None else None,
        "criticality": row.criticality or None,
        "created": _time(row.created_ms),
        "expires": _time(row.expires_ms),
        "state": _state(row, at_ms),
    }


def _time(time_ms: int | None) -> str | None:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds") if time_ms is not None else None


def _print(rows: list[dict[str, object]], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print(msgspec.json.encode(row).decode())
        else:
            print("  ".join(f"{name}={value}" for name, value in row.items() if value not in (None, "", [])))
