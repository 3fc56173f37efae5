"""The ledger as a workload file: what ran over so many days, with `measured` behind every number. And what a plan
promised beside what happened."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any

import yaml
from msgspec import Struct

from signalbox.config.declared import Declared
from signalbox.core.attempts import AttemptFilter, AttemptRow
from signalbox.core.days import DAY_MS, ms_of
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.core.records import DOUBTED, SETTLED
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import PICO
from signalbox.planner.plan import Plan

DAYS_MAX = 400
# Enough calls of a workload for percentiles, few enough for any memory.
SAMPLE_MAX = 2_000
WORKLOADS_MAX = 1_000
# A measured number that is so far from the plan's is drift; so is a cost.
DRIFT = 0.10
# So is a share of calls that is so far from it.
SHARE_DRIFT = 0.05
PICO_PER_MTOK = 10**6
# Stands where a provider would: no price catalogue knows it.
UNPRICED = "unpriced"


class _Seen:
    """What one workload did, in bounded memory. escalated: calls that a cascade asked again; each of them is one call,
    with the tokens of its first attempt, and the cost of both."""

    def __init__(self, seed: int) -> None:
        self.calls = 0
        self.escalated = 0
        self.tokens_in = 0
        self.tokens_cached = 0
        self.tokens_out = 0
        self.cost_pico = 0
        self.unpriced = 0
        self.hours = [0] * 168
        self.sample: list[tuple[int, int, int]] = []
        self.by_deployment: dict[str, int] = {}
        self.labels: set[str] = set()
        self._chance = random.Random(seed)  # noqa: S311

    def add(self, row: AttemptRow) -> None:
        if row.cost_pico is None:
            self.unpriced += 1
        else:
            self.cost_pico += row.cost_pico
        self.by_deployment[row.deployment] = self.by_deployment.get(row.deployment, 0) + 1
        if row.reason.endswith(DOUBTED):
            self.escalated += 1
        else:
            self._call(row)

    def _call(self, row: AttemptRow) -> None:
        cached = row.cache_read
        inputs = row.tokens_in + row.audio_in + cached + row.cache_write_5m + row.cache_write_1h
        outputs = row.tokens_out + row.reasoning + row.audio_out
        self.calls += 1
        self.tokens_in += inputs
        self.tokens_cached += cached
        self.tokens_out += outputs
        moment = datetime.fromtimestamp(row.time_ms / 1000, UTC)
        self.hours[moment.weekday() * 24 + moment.hour] += 1
        if len(self.labels) < 64:
            self.labels.update(row.labels)
        if len(self.sample) < SAMPLE_MAX:
            self.sample.append((inputs, outputs, row.ttft_ms))
        elif (at := self._chance.randrange(self.calls)) < SAMPLE_MAX:
            self.sample[at] = (inputs, outputs, row.ttft_ms)


def days_of(text: str) -> int:
    """`30d` or `30` as days. Raises ConfigError."""
    digits = text.removesuffix("d")
    if not digits.isdecimal() or not 1 <= int(digits) <= DAYS_MAX:
        raise ConfigError([f"{text!r} is no number of days. Write 1d to {DAYS_MAX}d, such as 30d."])
    return int(digits)


def _seen(store: Store, days: int, today: str) -> tuple[dict[str, _Seen], dict[str, list[int]]]:
    """By workload what happened, and by deployment a sample of times to the first token."""
    until_ms = ms_of(date.fromisoformat(today)) + DAY_MS
    where = AttemptFilter(since_ms=until_ms - days * DAY_MS, until_ms=until_ms, state=SETTLED)
    found: dict[str, _Seen] = {}
    first: dict[str, list[int]] = {}
    for row in store.attempts(where):
        if row.workload not in found:
            if len(found) >= WORKLOADS_MAX:
                raise ConfigError([f"the ledger names more than {WORKLOADS_MAX} workloads. Plan fewer days."])
            found[row.workload] = _Seen(len(found))
        found[row.workload].add(row)
        times = first.setdefault(row.deployment, [])
        if row.ttft_ms and len(times) < SAMPLE_MAX:
            times.append(row.ttft_ms)
    # The first attempt of a call may lie before the days that are asked for.
    return {name: what for name, what in found.items() if what.calls}, first


def _percentile(values: list[int], part: float) -> int:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0


def workloads_from_ledger(
    store: Store,
    declared: Declared,
    snapshot: Snapshot,
    over: str,
    today: str,
    base: bytes | None = None,
    name: str = "",
) -> bytes:
    """A workload file, as text. Options are the deployments of signalbox.yaml at the prices in force, and those of
    `base`, a workload file whose organisation, options and targets are kept. Raises ConfigError."""
    days = days_of(over)
    seen, first = _seen(store, days, today)
    if not seen:
        raise ConfigError([f"the ledger holds no settled call of the last {days} days. Use a longer time, or a file."])
    try:
        document: dict[str, Any] = dict(yaml.safe_load(base) or {}) if base else {}
    except (yaml.YAMLError, ValueError, TypeError):
        raise ConfigError([f"{name}: not a workload file. `signalbox plan {name}` says what is wrong."]) from None
    options: dict[str, Any] = dict(document.get("options") or {})
    for deployment, entry in _options(declared, snapshot, first, today).items():
        options.setdefault(deployment, entry)
    workloads: dict[str, Any] = dict(document.get("workloads") or {})
    for workload, what in seen.items():
        stated = dict(workloads.get(workload) or {})
        workloads[workload] = {**stated, **_workload(workload, what, days, declared, stated, today)}
    document |= {"name": document.get("name", f"the ledger of {days} days"), "workloads": workloads, "options": options}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True).encode()


def _quantity(value: float, days: int, today: str) -> dict[str, Any]:
    return {"value": round(value, 6), "provenance": "measured", "source": f"ledger, {days} days", "as_of": today}


def _workload(
    name: str, seen: _Seen, days: int, declared: Declared, stated: dict[str, Any], today: str
) -> dict[str, Any]:
    own = declared.config.workloads.get(name)
    inputs = max(1, seen.tokens_in)
    peak = max(seen.hours) * 168 / max(1, sum(seen.hours))
    row: dict[str, Any] = {
        "volume": {
            "requests_per_day": _quantity(seen.calls / days, days, today),
            "history": False,
            "input_tokens": _quantity(seen.tokens_in / seen.calls, days, today)
            | {"p90": float(max(_percentile([each[0] for each in seen.sample], 0.9), seen.tokens_in / seen.calls))},
            "output_tokens": _quantity(seen.tokens_out / seen.calls, days, today)
            | {"p90": float(max(_percentile([each[1] for each in seen.sample], 0.9), seen.tokens_out / seen.calls))},
            "cacheable": _quantity(seen.tokens_cached / inputs, days, today),
        },
        "arrival": {"profile": [float(count) for count in seen.hours], "peak_to_mean": _quantity(peak, days, today)},
    }
    if seen.escalated:
        share = _quantity(min(1.0, seen.escalated / seen.calls), days, today)
        row["quality"] = {**(stated.get("quality") or {}), "escalation": True, "escalation_share": share}
    if own is not None:
        row["data"] = list(dict.fromkeys([*own.data, *stated.get("data", [])]))
        row["regulations"] = list(dict.fromkeys([*own.regulations, *stated.get("regulations", [])]))
        if own.ttft_p95_ms and "targets" not in stated:
            row["targets"] = {"ttft_p95_ms": own.ttft_p95_ms}
        if own.placements and "options" not in stated:
            row["options"] = [each for each in own.placements if each in declared.deployments]
    return row


def _options(declared: Declared, snapshot: Snapshot, first: dict[str, list[int]], today: str) -> dict[str, Any]:
    """Deployments as options. One without a price stays in sight: the plan says that it is left out, and why."""
    found: dict[str, Any] = {}
    for name, target in declared.deployments.items():
        entry: dict[str, Any] = {"environment": target.environment, "model": target.model, "deployment": name}
        kind = declared.config.environments[target.environment].kind
        entry["kind"] = "cloud-api" if kind == "cloud" else "managed"
        rates = snapshot.deployment_by_name[name].rates
        if rates.priced and target.price is not None:
            entry["price"] = {
                "input_mtok": rates.tokens_in / PICO_PER_MTOK,
                "cache_read_mtok": rates.cache_read / PICO_PER_MTOK,
                "output_mtok": rates.tokens_out / PICO_PER_MTOK,
                "request_usd": rates.request / PICO,
            }
        else:
            entry["provider"] = UNPRICED
        times = first.get(name, [])
        if times:
            entry["ttft_p95_ms"] = _quantity(float(_percentile(times, 0.95)), 0, today) | {"source": "ledger"}
        found[name] = entry
    return found


class Drift(Struct, frozen=True):
    """One number of a plan beside what the ledger says. ratio: measured over planned."""

    workload: str
    what: str
    planned: float
    measured: float

    @property
    def ratio(self) -> float:
        return self.measured / self.planned if self.planned > 0 else float("inf")

    @property
    def drifts(self) -> bool:
        return abs(self.ratio - 1) > DRIFT


class BackTest(Struct, frozen=True):
    """What the plan's own cost model says of the calls that were made, beside what they cost. unpriced: calls without a
    cost in the ledger, left out of both. foreign: calls on deployments that the plan does not price by the token."""

    days: int
    modelled_usd: float
    measured_usd: float
    calls: int
    unpriced: int
    foreign: int
    drifts: tuple[Drift, ...]

    @property
    def error(self) -> float:
        return abs(self.modelled_usd / self.measured_usd - 1) if self.measured_usd > 0 else 0.0


def back_test(plan: Plan, option_of: dict[str, str], store: Store, over: str, today: str) -> BackTest:
    """option_of: deployment to option of the plan. The model is held to the calls that were made, at the tokens that
    the plan assumed, so that wrong lengths and wrong prices show and a change of volume does not."""
    days = days_of(over)
    seen, _ = _seen(store, days, today)
    modelled = measured = 0.0
    calls = unpriced = foreign = 0
    drifts: list[Drift] = []
    for name, what in sorted(seen.items()):
        calls += what.calls
        unpriced += what.unpriced
        facts = plan.facts.get(name)
        if facts is None:
            foreign += what.calls
            continue
        drifts += [
            Drift(name, "calls a day", facts.requests_per_day, what.calls / days),
            Drift(name, "input tokens", facts.input_tokens, what.tokens_in / what.calls),
            Drift(name, "output tokens", facts.output_tokens, what.tokens_out / what.calls),
        ]
        again = what.escalated / what.calls
        if abs(again - facts.escalated) > SHARE_DRIFT:
            drifts.append(Drift(name, "share that is asked again", facts.escalated, again))
        attempts = what.calls + what.escalated
        priced = attempts - what.unpriced
        for deployment, count in what.by_deployment.items():
            each = facts.usd_per_call.get(option_of.get(deployment, deployment))
            if each is None:
                foreign += count
            else:
                modelled += each * count * priced / attempts
        measured += what.cost_pico / PICO
    return BackTest(days, modelled, measured, calls, unpriced, foreign, tuple(each for each in drifts if each.drifts))
