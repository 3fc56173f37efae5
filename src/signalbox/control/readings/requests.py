"""Calls one by one: pages of attempts and of refusals, and all that is known of one call."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from signalbox.control.in_force import InForce
from signalbox.control.readings.placements import Placement, Reason, placements_of
from signalbox.control.readings.scope import Scope
from signalbox.core.attempts import AttemptFilter, AttemptRow, Mark
from signalbox.core.errors import ConfigError
from signalbox.core.labels import labels_of
from signalbox.core.ports import Store
from signalbox.core.records import Refused
from signalbox.core.snapshot import Deployment
from signalbox.core.usage import RARE, Usage
from signalbox.ledger.query import read_filters
from signalbox.policy import rules
from signalbox.pricing.cost import cost

PAGE_ROWS = 50
PAGE_ROWS_MAX = 500
MARKS_MAX = 200
# Refusals are found by their time; without one, so many are looked through.
REFUSALS_SEARCHED = 20_000
ASKED = ("tenant", "team", "key", "workload", "deployment", "environment", "label", "state", "since", "until")


class Asked(msgspec.Struct, frozen=True):
    """A page of requests as it was asked for. filters: of ASKED. refused: calls without an attempt instead. before: the
    place after which rows are wanted."""

    filters: dict[str, str]
    refused: bool = False
    before: Mark | None = None
    rows: int = PAGE_ROWS

    def where(self, scope: Scope) -> AttemptFilter:
        """Raises ConfigError."""
        return scope.narrow(read_filters(self.filters))


def read_asked(query: Mapping[str, str]) -> Asked:
    """From a query string. What is empty counts as left out. Raises ConfigError naming what makes no sense."""
    known = {*ASKED, "refused", "before", "rows"}
    unknown = sorted(query.keys() - known)
    if unknown:
        raise ConfigError([f"{unknown[0][:64]!r} is no filter. Use one of: {', '.join(sorted(known))}."])
    filters = {name: query[name] for name in ASKED if query.get(name)}
    rows = query.get("rows") or str(PAGE_ROWS)
    if not rows.isascii() or not rows.isdecimal() or len(rows) > 4 or not 1 <= int(rows) <= PAGE_ROWS_MAX:
        raise ConfigError([f"rows: must be 1 to {PAGE_ROWS_MAX}."])
    refused = query.get("refused", "")
    if refused not in ("", "1"):
        raise ConfigError(["refused: must be 1, or left out."])
    asked = Asked(filters, bool(refused), _mark(query.get("before", "")), int(rows))
    asked.where(Scope())
    return asked


def _mark(text: str) -> Mark | None:
    """`time.id`, as pages write it into their links."""
    if not text:
        return None
    time_ms, _, row_id = text.partition(".")
    if not time_ms.isascii() or not time_ms.isdecimal() or len(time_ms) > 15 or not row_id or len(row_id) > 128:
        raise ConfigError(["before: is no place in the ledger. Begin at the first page."])
    return Mark(int(time_ms), row_id)


class Requests(msgspec.Struct, frozen=True):
    """One page. older: `before` of the next one, None at the end. searched: as in AttemptPage. seen: how far the
    ledger was, and a fingerprint of the rows, which changes when any of them does."""

    attempts: list[AttemptRow]
    refused: list[Refused]
    older: str | None
    searched: bool
    seen: str


def version(store: Store) -> str:
    """How far the ledger is; it changes with every record. Empty where telling costs more than it saves: an old
    installation has a mark of every process that it ever ran."""
    marks = store.shipped_all()
    if len(marks) > MARKS_MAX:
        return ""
    return hashlib.sha256(msgspec.msgpack.encode([(one.chain, one.seq) for one in marks])).hexdigest()[:16]


def requests(store: Store, asked: Asked, scope: Scope) -> Requests:
    """Raises ConfigError and StoreError."""
    ledger = version(store)
    where = asked.where(scope)
    if asked.refused:
        page = store.refused_page(where, asked.before, asked.rows)
        found = Requests([], page.rows, _text(page.older), page.searched, "")
    else:
        page = store.attempts_page(where, asked.before, asked.rows)
        found = Requests(page.rows, [], _text(page.older), page.searched, "")
    seen = hashlib.sha256(msgspec.msgpack.encode((found.attempts, found.refused))).hexdigest()[:16]
    return msgspec.structs.replace(found, seen=f"{ledger}.{seen}")


def news(store: Store, asked: Asked, scope: Scope, seen: str) -> Requests | None:
    """The page, None while it is the one that was `seen`."""
    ledger = seen.partition(".")[0]
    if ledger and ledger == version(store):
        return None
    found = requests(store, asked, scope)
    return None if found.seen.partition(".")[2] == seen.partition(".")[2] else found


def _text(mark: Mark | None) -> str | None:
    return None if mark is None else f"{mark.time_ms}.{mark.id}"


# --- one call


class Term(msgspec.Struct, frozen=True):
    """One line of a price: so many of something at so much each, in pico-dollars. rate: None where it has no price."""

    what: str
    count: int
    rate: int | None

    @property
    def pico(self) -> int | None:
        return None if self.rate is None else self.count * self.rate


class Arithmetic(msgspec.Struct, frozen=True):
    """How a cost comes about. total: by the prices in force now, None when they leave something out. agrees: that is
    what was booked."""

    terms: tuple[Term, ...]
    total: int | None
    agrees: bool


class OneAttempt(msgspec.Struct, frozen=True):
    """offset_ms: after the call's first attempt. arithmetic: None where the deployment is gone."""

    row: AttemptRow
    offset_ms: int
    arithmetic: Arithmetic | None


class Again(msgspec.Struct, frozen=True):
    """The same labels under the configuration in force. rules: that apply. same: it is the one the call ran under."""

    placements: tuple[Placement, ...]
    rules: tuple[Reason, ...]
    same: bool


class OneCall(msgspec.Struct, frozen=True):
    """attempts: none for a call that was refused, then `refused` says why. again: None when its workload is gone."""

    call_id: str
    time_ms: int
    tenant: str
    team: str
    key_id: str
    workload: str
    labels: tuple[str, ...]
    found: dict[str, int]
    reason: str
    config: str
    attempts: tuple[OneAttempt, ...]
    refused: Refused | None
    span_ms: int
    cost_pico: int | None
    again: Again | None


def one_call(store: Store, in_force: InForce, scope: Scope, call_id: str, time_ms: int | None) -> OneCall | None:
    """None when there is no such call that may be read. time_ms: of a refusal, where it is known."""
    rows = [row for row in store.attempts_of(call_id) if scope.sees(row.tenant, row.key_id)]
    refused = None if rows else _refusal(store, scope, call_id, time_ms)
    if not rows and refused is None:
        return None
    first = rows[0] if rows else refused
    assert first is not None
    begin_ms = first.time_ms
    costs = [row.cost_pico for row in rows]
    return OneCall(
        call_id=call_id,
        time_ms=begin_ms,
        tenant=first.tenant,
        team=first.team,
        key_id=first.key_id,
        workload=first.workload,
        labels=first.labels,
        found=first.found,
        reason=first.reason,
        config=first.config,
        attempts=tuple(_attempt(row, begin_ms, in_force) for row in rows),
        refused=refused,
        span_ms=max((row.time_ms - begin_ms + row.duration_ms for row in rows), default=0),
        cost_pico=None if None in costs else sum(each for each in costs if each is not None),
        again=_again(in_force, first.workload, first.labels, first.config),
    )


def _refusal(store: Store, scope: Scope, call_id: str, time_ms: int | None) -> Refused | None:
    where = scope.narrow(AttemptFilter())
    if time_ms is not None:
        where = msgspec.structs.replace(where, since_ms=time_ms, until_ms=time_ms + 1)
    page = store.refused_page(where, None, REFUSALS_SEARCHED)
    return next((row for row in page.rows if row.call_id == call_id), None)


def _attempt(row: AttemptRow, begin_ms: int, in_force: InForce) -> OneAttempt:
    deployment = in_force.snapshot.deployment_by_name.get(row.deployment)
    arithmetic = None if deployment is None or row.state == "open" else _arithmetic(row, deployment)
    return OneAttempt(row, row.time_ms - begin_ms, arithmetic)


def _arithmetic(row: AttemptRow, deployment: Deployment) -> Arithmetic:
    usage = Usage(
        row.tokens_in, row.cache_read, row.cache_write_5m, row.cache_write_1h, row.tokens_out, row.reasoning,
        row.audio_in, row.audio_out, rare=tuple(row.rare.items()), tier=row.tier,
    )  # fmt: skip
    rates = deployment.rates
    terms = [
        Term(name, count, rate if rate >= 0 and rates.priced else None)
        for name, count, rate in (
            ("input", row.tokens_in, rates.tokens_in),
            ("cache read", row.cache_read, rates.cache_read),
            ("cache write", row.cache_write_5m, rates.cache_write_5m),
            ("cache write, 1 h", row.cache_write_1h, rates.cache_write_1h),
            ("output", row.tokens_out, rates.tokens_out),
            ("reasoning", row.reasoning, rates.reasoning),
            ("audio in", row.audio_in, rates.audio_in),
            ("audio out", row.audio_out, rates.audio_out),
        )
        if count
    ]
    priced = dict(rates.rare)
    terms += [Term(name, count, priced.get(name)) for name, count in row.rare.items() if name in RARE]
    if rates.request:
        terms.append(Term("call", 1, rates.request))
    total = cost(usage, rates)
    return Arithmetic(tuple(terms), total, total == row.cost_pico)


def _again(in_force: InForce, workload: str, names: tuple[str, ...], config: str) -> Again | None:
    snapshot = in_force.snapshot
    found = snapshot.workloads.get(workload)
    if found is None:
        return None
    try:
        labels = labels_of(names)
    except ValueError:  # a data class of a later version
        return None
    applying = rules.applying(snapshot, found, labels)
    return Again(
        tuple(placements_of(snapshot, found, labels)),
        tuple(Reason(rule.id, rule.source) for rule in applying),
        config == snapshot.version,
    )
