"""`signalbox keys create|list|revoke`: virtual keys, with the server running or not."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

import msgspec

from signalbox.bootstrap import now_ms, open_store, stated_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path
from signalbox.control.keys import NewKey, create
from signalbox.control.state import StateDir
from signalbox.core.ports import Store, VirtualKey

DAY_MS = 86_400_000


def _amount(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount of dollars") from None


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="create|list|revoke", required=True)
    made = verbs.add_parser("create", help="make a key; it is shown once")
    made.add_argument("--name", required=True, help="what the key is for")
    made.add_argument("--team", default="", help="the team it belongs to")
    made.add_argument("--tenant", default="default", help="the tenant it belongs to")
    made.add_argument("--workload", action="append", default=[], metavar="W", help="a workload it may use (repeatable)")
    made.add_argument("--deployment", action="append", default=[], metavar="D", help="a deployment it may name")
    made.add_argument("--data", action="append", default=[], metavar="CLASS", help="a data class of all its calls")
    made.add_argument("--budget-usd", type=_amount, help="what it may spend in all, never exceeded")
    made.add_argument("--expires-days", type=float, help="days until it stops working")
    listed = verbs.add_parser("list", help="all keys, without their secrets")
    revoked = verbs.add_parser("revoke", help="end a key, on every worker within a second")
    revoked.add_argument("id", help="the key's public id")
    for sub in (made, listed, revoked):
        add_state_dir(sub)
        add_json(sub)
        add_config(sub)


def run(options: argparse.Namespace) -> int:
    state = StateDir(options.state_dir)
    store = open_store(state, stated_store(config_path(options.config)))
    try:
        if options.what == "create":
            return _create(options, state, store)
        if options.what == "list":
            _print([_shown(row) for row in store.list_keys()], as_json=options.json)
            return 0
        if not store.revoke_key(options.id, now_ms()):
            print(f"There is no active key {options.id!r}. `signalbox keys list` shows them.", file=sys.stderr)
            return 1
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
    )
    try:
        row, key = create(store, wanted, state.pepper(), now)
    except ValueError as error:
        print(f"The key was not made: {error}.", file=sys.stderr)
        return 2
    if options.json:
        print(msgspec.json.encode({"id": row.id, "key": key.reveal()}).decode())
    else:
        print(f"{key.reveal()}\nThis is shown once. Its id is {row.id}.")
    return 0


def _shown(row: VirtualKey) -> dict[str, object]:
    return {
        "id": row.id,
        "name": row.name,
        "tenant": row.tenant,
        "team": row.team,
        "workloads": list(row.workloads) if row.workloads is not None else None,
        "deployments": list(row.deployments_granted),
        "data": list(row.labels),
        "budget_usd": str(row.budget_usd) if row.budget_usd is not None else None,
        "created": _time(row.created_ms),
        "expires": _time(row.expires_ms),
        "state": "active" if row.revoked_ms is None else "revoked",
    }


def _time(time_ms: int | None) -> str | None:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds") if time_ms is not None else None


def _print(rows: list[dict[str, object]], *, as_json: bool) -> None:
    for row in rows:
        if as_json:
            print(msgspec.json.encode(row).decode())
        else:
            print("  ".join(f"{name}={value}" for name, value in row.items() if value not in (None, "", [])))
