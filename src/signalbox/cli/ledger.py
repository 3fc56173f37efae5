"""`signalbox ledger query|verify`: what was sent where and what it cost, and whether the record is whole."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import cast

import msgspec

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.shipping import bucket_of
from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path, existing_state
from signalbox.config.address import AddressProblem
from signalbox.config.load import load_text, read_bytes
from signalbox.control.anchoring import anchored
from signalbox.control.contents import Contents, Erasure, content_dict
from signalbox.control.object_store import Bucket, Refused
from signalbox.control.readings.reconciled import reconciled
from signalbox.control.state import CHECKPOINTS, JOURNAL, StateDir
from signalbox.core.attempts import DIMENSIONS, AttemptFilter
from signalbox.core.errors import ConfigError
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import Action
from signalbox.core.usage import PICO
from signalbox.ledger import actions, checkpoint_check, signed_note
from signalbox.ledger.forecast import forecast
from signalbox.ledger.owned import gpu_day, owned_days
from signalbox.ledger.parquet import export
from signalbox.ledger.provider_export import read_export
from signalbox.ledger.query import FILTERS, STATES, attempt_dict, iso_time, query, query_refused, read_filters
from signalbox.ledger.reconcile import UNATTRIBUTED
from signalbox.ledger.ship import Shipping
from signalbox.ledger.verify import Report, verify_living
from signalbox.ledger.walk import Finding

_FILTER_HELP = {
    "since": "only attempts from this ISO date or time on (UTC)",
    "until": "only attempts before this time, or up to the end of this date",
    "key": "only attempts of the key with this public id",
    "label": "only attempts whose content had this data class",
    "state": f"only attempts of this state: {', '.join(STATES)}",
}
OBJECT_STORE = "object-store"
_SHOWN = ("time", "state", "deployment", "environment", "workload", "labels", "tokens_in", "tokens_out", "cost_usd")
_SHOWN_REFUSED = ("time", "workload", "labels", "reason", "rules", "call_id")


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(
        dest="what", metavar="query|verify|actions|reconcile|forecast|export|gpus|erase|content", required=True
    )
    asked = verbs.add_parser("query", help="one line an attempt, or a sum by one dimension")
    for name in FILTERS:
        asked.add_argument(f"--{name}", help=_FILTER_HELP.get(name, f"only attempts with this {name}"))
    kinds = asked.add_mutually_exclusive_group()
    kinds.add_argument("--group-by", choices=DIMENSIONS, help="sums instead of attempts")
    kinds.add_argument("--refused", action="store_true", help="calls that nothing could serve, instead of attempts")
    asked.add_argument("--open", action="store_true", help="attempts that have not ended as well")
    checked = verbs.add_parser("verify", help="walk every chain and name what was changed")
    checked.add_argument(
        "--public-key",
        help="check the checkpoints with this key (name+id+base64, or a file that holds it) and ask no store",
    )
    checked.add_argument(
        "--anchor",
        action="append",
        default=[],
        help=f"a file elsewhere with checkpoints, or `{OBJECT_STORE}` for what ledger.anchor names (repeatable)",
    )
    acted = verbs.add_parser("actions", help="who did what to the installation: keys made, rotated, revoked, reloads")
    matched = verbs.add_parser(
        "reconcile", help="hold a provider's cost export against the ledger; exit 1 below 99.5 %%"
    )
    matched.add_argument("--import", dest="file", type=Path, required=True, help="a CSV or FOCUS export")
    told = verbs.add_parser("forecast", help="the rate of spending, and what the month will have cost")
    written = verbs.add_parser("export", help="attempts as a file for other programs")
    written.add_argument("--parquet", type=Path, required=True, metavar="FILE", help="the file to write")
    owned = verbs.add_parser("gpus", help="GPUs of one's own by day: what they cost, and what of it calls were charged")
    owned.add_argument("--since", help="the first UTC day; 30 days ago when left out")
    owned.add_argument("--until", help="the last UTC day; today when left out")
    for sub in (matched, told, written):
        for name in FILTERS:
            sub.add_argument(f"--{name}", help=_FILTER_HELP.get(name, f"only attempts with this {name}"))
    erased = verbs.add_parser("erase", help="make all content that was captured of somebody unreadable, for good")
    erased.add_argument("--user", default="", help="the user, as callers name it")
    erased.add_argument("--session", default="", help="the session, as callers name it")
    erased.add_argument("--tenant", default="default", help="their tenant (default: default)")
    shown = verbs.add_parser("content", help="what was captured of one call")
    shown.add_argument("call_id")
    for sub in (asked, checked, acted, matched, told, written, owned, erased, shown):
        add_state_dir(sub)
        add_json(sub)
        add_config(sub)


def run(options: argparse.Namespace) -> int:
    if options.what == "actions":
        existing_state(options.state_dir, JOURNAL)
        return _actions(options)
    if options.what == "verify" and options.public_key is not None:
        return _verify_offline(options)
    elsewhere = stated_store(config_path(options.config))
    if options.what == "verify" or elsewhere is None:
        existing_state(options.state_dir, JOURNAL)
    state = StateDir(options.state_dir)
    store = open_store(state, elsewhere)
    try:
        return _RUN[options.what](options, state, store)
    finally:
        store.close()


def _reconcile(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    charges = read_export(options.file)
    found = reconciled(store, charges, _asked(options, state, store))
    if options.json:
        print(msgspec.json.encode(found).decode())
        return 0 if found.good else 1
    percent = f"{float(found.explained_share):.3%}"
    print(
        f"billed {found.billed_usd} USD, explained {found.explained_usd} USD ({percent}), ledger {found.ledger_usd} USD"
    )
    for rest in found.unexplained:
        print(
            f"{rest.day}  {rest.model}  {rest.difference_usd} USD  {rest.why}  lines={','.join(map(str, rest.lines))}"
        )
    return 0 if found.good else 1


def _forecast(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    now = datetime.now(UTC)
    where = _asked(options, state, store)
    sums = store.sum_attempts(where, "day")
    part = (now - now.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds() / 86_400
    found = forecast({one.group: Decimal(one.cost_pico) / PICO for one in sums}, now.date(), part)
    shown = msgspec.structs.asdict(found)
    print(msgspec.json.encode(shown).decode() if options.json else "  ".join(f"{k}={v}" for k, v in shown.items()))
    return 0


def _export(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    written = export(map(attempt_dict, store.attempts(_asked(options, state, store))), options.parquet)
    print(msgspec.json.encode({"rows": written}).decode() if options.json else f"{written} attempts written")
    return 0


def _gpus(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    """The figures of the console's page, with what the journal holds shipped first."""
    Shipping(store, state.journal).ship_once()
    today = datetime.now(UTC).date()
    until = _day("until", options.until, today)
    since = _day("since", options.since, until - timedelta(days=29))
    if not since <= until < since + timedelta(days=400):
        raise ConfigError(["since: has to be before until, and at most 400 days."])
    days = owned_days(store, since, until, now_ms=now_ms())
    if not days:
        print("no rows", file=sys.stderr)
    for day in days:
        row = gpu_day(day)
        print(msgspec.json.encode(row).decode() if options.json else "  ".join(f"{k}={v}" for k, v in row.items()))
    return 0


def _day(name: str, text: str | None, otherwise: date) -> date:
    try:
        return date.fromisoformat(text) if text else otherwise
    except ValueError:
        raise ConfigError([f"{name}: {text!r} is no date. Write 2026-11-20."]) from None


def _asked(options: argparse.Namespace, state: StateDir, store: Store) -> AttemptFilter:
    """The attempts that the filters name, with what the journal holds shipped first."""
    Shipping(store, state.journal).ship_once()
    return read_filters({name: value for name in FILTERS if (value := getattr(options, name)) is not None})


def _query(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    """What the journal holds and the store does not yet is shipped first, so that the answer is complete."""
    shipped = Shipping(store, state.journal).ship_once()
    for finding in shipped.findings:
        print(f"warning: {finding.chain}: {finding.message}", file=sys.stderr)
    filters = {name: value for name in FILTERS if (value := getattr(options, name)) is not None}
    if options.refused:
        found = query_refused(store, filters)
    else:
        found = query(store, filters, group_by=options.group_by, include_open=options.open)
    empty = True
    with contextlib.closing(found) as rows:  # before the store, when the reader of our output leaves early
        for row in rows:
            empty = False
            print(msgspec.json.encode(row).decode() if options.json else _line(row, options))
    if empty:
        print("no rows", file=sys.stderr)
    return 0


def _line(row: Mapping[str, object], options: argparse.Namespace) -> str:
    shown = _SHOWN_REFUSED if options.refused else _SHOWN if options.group_by is None else tuple(row)
    nobody = UNATTRIBUTED if options.group_by is not None else ""
    told = [f"{name}={_text(row[name]) or nobody}" for name in shown]
    return "  ".join(told if options.group_by is not None or options.refused else told + _why(row))


def _why(row: Mapping[str, object]) -> list[str]:
    """Why an attempt did not end well: the provider's status, our name for what went wrong. Nothing for all others."""
    status, error = row["status"], row["error"]
    return [f"status={status}"] * (isinstance(status, int) and status >= 400) + [f"error={error}"] * bool(error)


def _actions(options: argparse.Namespace) -> int:
    for action in actions.read(StateDir(options.state_dir).journal):
        shown: dict[str, object] = {**msgspec.structs.asdict(action), "time": iso_time(action.time_ms)}
        if options.json:
            print(msgspec.json.encode(shown).decode())
        else:
            print("  ".join(f"{name}={value}" for name, value in shown.items() if value and name != "time_ms"))
    return 0


def _verify(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    """With the installation's own key where there are checkpoints, and what the store has seen."""
    shipped = store.shipped_all()
    own = state.checkpoints / signed_note.PUBLIC
    key = own.read_text(encoding="ascii") if own.exists() or options.anchor else ""
    return _report(_verified(options, state.journal, state.checkpoints, shipped, key), as_json=options.json)


def _verify_offline(options: argparse.Namespace) -> int:
    """From a copy of journal and checkpoints alone: nothing is created, and no key of the copy is trusted."""
    key = options.public_key
    if "+" not in key:
        try:
            key = Path(key).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not ASCII"
            said = f"--public-key: {key} is neither a key (name+id+base64) nor a file that holds one ({why})."
            raise ConfigError([said]) from None
    journal, checkpoints = existing_state(options.state_dir, JOURNAL), options.state_dir / CHECKPOINTS
    return _report(_verified(options, journal, checkpoints, (), key), as_json=options.json)


def _verified(
    options: argparse.Namespace, journal: Path, checkpoints: Path, shipped: Sequence[ShipMark], key: str
) -> Report:
    """key: empty for a ledger without checkpoints."""
    try:
        public = signed_note.PublicKey.read(key) if key else None
    except ValueError as error:
        raise ConfigError([f"--public-key: {error}."]) from None

    def signed() -> checkpoint_check.Signed | None:
        # Read anew each time, and before the notes here: an anchor that is older says less, one that is newer too much.
        return checkpoint_check.check(checkpoints, public, _anchors(options)) if public is not None else None

    return verify_living(journal, shipped, signed)


def _anchors(options: argparse.Namespace) -> dict[str, list[bytes]]:
    """Their notes by place. Raises ConfigError for one that cannot be read."""
    found: dict[str, list[bytes]] = {}
    for where in options.anchor:
        try:
            if where == OBJECT_STORE:
                found[where] = asyncio.run(anchored(_bucket(options)))
            else:
                found[Path(where).name] = checkpoint_check.read_notes(Path(where))
        except OSError as error:
            raise ConfigError([f"--anchor: {where} cannot be read ({error.strerror})."]) from None
        except (Refused, AddressProblem) as error:
            raise ConfigError([f"--anchor: {error}."]) from None
    return found


def _bucket(options: argparse.Namespace) -> Bucket:
    path = config_path(options.config)
    anchor = load_text(read_bytes(path), str(path)).config.ledger.anchor if path is not None else None
    bucket = bucket_of(anchor)
    if bucket is None:
        raise ConfigError(["--anchor: the configuration names no object store. Write ledger.anchor, or name a file."])
    return bucket


def _where(finding: Finding) -> str:
    """The record, as far as it is known: `line` is the one of a file that an editor shows."""
    told = [finding.chain]
    if finding.segment:
        told.append(f"segment {finding.segment}")
    if finding.line:
        told.append(f"line {finding.line}")
    if finding.attempt_id:
        told.append(f"attempt {finding.attempt_id}")
    return " ".join(told)


def _report(report: Report, *, as_json: bool) -> int:
    if as_json:
        print(msgspec.json.encode(report).decode())
    else:
        for finding in report.findings:
            print(f"{_where(finding)}: {finding.kind}: {finding.message}")
        signed = f", {report.checkpoints} checkpoints over {report.signed_lines} of them" if report.checkpoints else ""
        cuts = f", {report.cuts} chains begin behind a signed cut" if report.cuts else ""
        print(f"{len(report.chains)} chains, {report.lines} records{signed}{cuts}, {report.finding_count} findings")
    return 0 if report.ok else 1


def _erase(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    asked = Erasure(options.user, options.session, options.tenant)
    contents = Contents(state.pepper())
    for subject in contents.subjects(asked):
        actions.record(state.journal, _by_hand("content.erase", subject))
    keys = contents.erase(store, asked, now_ms())
    print(msgspec.json.encode({"keys_destroyed": keys}).decode() if options.json else f"{keys} keys destroyed")
    return 0


def _content(options: argparse.Namespace, state: StateDir, store: Store) -> int:
    actions.record(state.journal, _by_hand("content.read", options.call_id))
    kept = Contents(state.pepper()).read(store, options.call_id)
    if kept is None:
        print("nothing is kept of this call", file=sys.stderr)
        return 1
    if options.json:
        print(msgspec.json.encode(content_dict(kept)).decode())
    elif kept.said is None:
        print("erased")
    else:
        print(kept.said.request.decode(errors="backslashreplace"))
        print(kept.said.answer.decode(errors="backslashreplace"))
    return 0


def _by_hand(action: str, target: str) -> Action:
    """Whoever may write the state directory is its owner; which of the machine's users that was is on record."""
    return Action(now_ms(), f"cli:{getpass.getuser()}", "admin", action, target)


_RUN: dict[str, Callable[[argparse.Namespace, StateDir, Store], int]] = {
    "query": _query,
    "verify": _verify,
    "reconcile": _reconcile,
    "forecast": _forecast,
    "export": _export,
    "erase": _erase,
    "content": _content,
    "gpus": _gpus,
}


def _text(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, cast(list[object], value)))
    return str(value)
