"""What is held against each other when a run of chaos is over: what was sent, what arrived, and what is on record."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from harness import Box
from proof.memory import within
from proof.oracle import Caller, Oracle, told_by
from proof.worlds import CallMaker, Sent
from signalbox.bootstrap.storage import open_store
from signalbox.ledger.query import query, query_refused
from signalbox.ledger.ship import Shipping
from signalbox.simulator.log import Entry

# The tag that each call is told apart by.
CALL = "call-"
FINDINGS_MAX = 20
SHORT_SHARE_MAX = 0.04


@dataclass
class Version:
    """A configuration that was in force at some time."""

    oracle: Oracle
    name: str
    callers: tuple[Caller, ...]
    keys: list[str]
    maker: CallMaker


@dataclass
class Made:
    """One call: what was in force when it was sent and when it ended, as positions in the list of versions."""

    sent: Sent
    caller: Caller
    first: int
    last: int = 0
    left: bool = False
    status: int = 0
    call_id: str = ""
    reason: str = ""


@dataclass
class Report:
    seed: int
    calls: int = 0
    requests: int = 0
    reloads: int = 0
    escapes: int = 0
    refused_but_permitted: int = 0
    other: int = 0
    money: int = 0
    estimated: int = 0
    short: int = 0
    left: int = 0
    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter[int])
    states: Counter[str] = field(default_factory=Counter[str])
    findings: list[str] = field(default_factory=list[str])

    @property
    def good(self) -> bool:
        return not (self.escapes or self.refused_but_permitted or self.other or self.money)


class Judge:
    """left: what there still is of calls though all of them are over. errors: lines of that level in the log."""

    def __init__(
        self,
        report: Report,
        box: Box,
        versions: list[Version],
        made: list[Made],
        left: dict[str, int],
        errors: list[str],
    ) -> None:
        self.report = report
        self._box = box
        self._versions = versions
        self._made = made
        self._left = left
        self._errors = errors

    def judge(self) -> None:
        """Counts and lists everything that is not as it has to be."""
        store = open_store(self._box.state)
        try:
            Shipping(store, self._box.state.journal).ship_once()
            rows = [dict(row) for row in query(store, {})]
            refused = {str(row["call_id"]): dict(row) for row in query_refused(store, {})}
        finally:
            store.close()
        by_call: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_call.setdefault(str(row["call_id"]), []).append(row)
        by_attempt = {str(row["attempt_id"]): row for row in rows}
        for row in rows:
            self._name(row)
        made = {each.call_id: each for each in self._made if each.call_id}
        for call_id in by_call.keys() - made.keys():
            self._find("other", f"the ledger has a call that nobody made: {call_id}")
        for entry in self._box.sim.log.entries:
            if entry.endpoint:
                self._judge_request(entry, by_attempt, refused, made)
        for each in self._made:
            self._judge_call(each, by_call.get(each.call_id, []), refused.get(each.call_id))
        self._judge_money(by_attempt)
        if not self._box.chain_is_whole():
            self._find("other", "the journal's chain is broken")
        for what, count in self._left.items():
            self._find("other", f"left when all was over: {count} {what}")
        for line in self._errors:
            self._find("other", line)

    def _name(self, row: dict[str, Any]) -> None:
        """Whoever left before its head was told no id; its rows say which call they are of."""
        (number,) = [tag.removeprefix(CALL) for tag in row["tags"] if tag.startswith(CALL)]
        made = self._made[int(number)]
        made.call_id = made.call_id or str(row["call_id"])
        if made.call_id != row["call_id"]:
            self._find("other", f"two calls from one: {made.call_id}, {row['call_id']}")

    def _version(self, made: Made, row: dict[str, Any] | None) -> Version | None:
        """The version that a row names, if it was in force while the call ran."""
        for version in self._versions[made.first : made.last + 1]:
            if row is None or version.name == row["config_version"]:
                return version
        return None

    def _judge_request(
        self,
        entry: Entry,
        by_attempt: dict[str, dict[str, Any]],
        refused: dict[str, dict[str, Any]],
        made: dict[str, Made],
    ) -> None:
        """One request as a provider received it."""
        self.report.requests += 1
        row, name = by_attempt.get(entry.client_request_id), f"dep{entry.provider[1:]}"
        each = made.get(entry.client_request_id.rpartition("-")[0])
        if row is None or each is None:
            self._find("other", f"a request at {name} is not in the ledger, or of no call: {entry.client_request_id}")
            return
        about = f"{each.sent.facts} by {each.caller}"
        if row["deployment"] != name:
            self._find("other", f"sent to {name}, recorded as {row['deployment']}: {about}")
        version = self._version(each, row)
        if version is None:
            self._find("other", f"recorded under a configuration that was not in force: {about}")
            return
        oracle = version.oracle
        place = oracle.resolve(each.caller, each.sent.facts)
        if place is None:
            self._find("escapes", f"sent to {name} though its name means nothing: {about}")
            return
        labels = oracle.labels(place, each.caller, each.sent.facts) | set(row["labels"])
        permitted = oracle.permitted(place, each.caller, each.sent.facts, labels)
        if name not in permitted:
            self._find("escapes", f"sent to {name}, permitted are {sorted(permitted)}: {about}")
        if entry.path.endswith("/responses"):
            stored = json.loads(entry.body).get("store", True)
            environment = oracle.doc["deployments"][name]["environment"]
            onward = each.sent.facts.onward
            undone = "zero-retention" in oracle.attested_names(environment)
            if stored and ("store" not in onward or undone or each.sent.facts.api not in oracle.native(name)):
                self._find("escapes", f"told {name} to store: {about}")

    def _judge_call(self, each: Made, rows: list[dict[str, Any]], refused: dict[str, Any] | None) -> None:
        self.report.calls += 1
        self.report.statuses[each.status] += 1
        facts, caller = each.sent.facts, each.caller
        about = f"{facts} by {caller}: {each.status} {each.reason}"
        if each.left:
            self.report.left += 1
            if not each.status and not rows:
                return  # nobody knows how far it came
        if each.status in (500, 401) or not (each.status or each.left):
            self._find("other", about)
            return
        named = rows[0] if rows else refused
        version = self._version(each, named)
        if version is None:
            self._find("other", f"recorded under a configuration that was not in force: {about}")
            return
        if named is None:
            self._judge_unrecorded(each, about)
            return
        place = version.oracle.resolve(caller, facts)
        if place is None:
            self._find("other", f"not turned away: {about}")
            return
        whole = version.oracle.labels(place, caller, facts)
        told = {label for row in (*rows, *([refused] if refused else [])) for label in row["labels"]}
        if not within(whole, told):
            self._find("escapes", f"labels lost, {sorted(told_by(whole))} were due, not {sorted(told)}: {about}")
        if each.sent.session is None and each.sent.turns == 1 and not facts.holds and not within(told, whole):
            self._find("refused_but_permitted", f"labels from nowhere, {sorted(told)}: {about}")
        if each.status in (0, 200):
            return
        permitted = version.oracle.permitted(place, caller, facts, whole | told)
        able = version.oracle.able(facts, permitted)
        if each.reason in ("no_permitted_placement", "unknown_tool_type"):
            if permitted and not rows:
                self._find("refused_but_permitted", f"{sorted(permitted)} are permitted: {about}")
            return
        due = min(len(able), version.oracle.attempts_max(place))
        tried = {row["deployment"] for row in rows}
        if each.sent.plain and len(tried) < due:
            self._find("refused_but_permitted", f"{due} of {sorted(able)} were due, not {sorted(tried)}: {about}")

    def _judge_unrecorded(self, each: Made, about: str) -> None:
        """Neither an attempt nor a refusal is on record: the call was turned away before, or a count was estimated."""
        facts, caller = each.sent.facts, each.caller
        versions = [version.oracle for version in self._versions[each.first : each.last + 1]]
        if each.status in (400, 404):
            if all(oracle.resolve(caller, facts) is not None for oracle in versions) and each.sent.plain:
                self._find("refused_but_permitted", f"turned away: {about}")
        elif not (each.status == 200 and facts.api == "count_tokens"):
            self._find("other", f"not on record: {about}")

    def _judge_money(self, by_attempt: dict[str, dict[str, Any]]) -> None:
        """Exactly the bill where the provider told its usage or nothing was used. Elsewhere the ledger holds what is
        meant as an upper bound; it is learnt, so single ones may fall short, and together they must not."""
        bill = {row.client_request_id: row for row in self._box.sim.bill.rows}
        estimated, truly = Counter[str](), Counter[str]()
        for attempt_id, row in by_attempt.items():
            self.report.states[str(row["state"])] += 1
            cost_pico = int(Decimal(str(row["cost_usd"])) * 10**12)
            truth = bill.get(attempt_id)
            billed = truth.cost_pico if truth is not None else 0
            if row["usage_source"] != "estimated":
                if cost_pico != billed:
                    self._find("money", f"{row['state']} at {cost_pico}, billed {billed}: {row}")
                continue
            estimated[row["state"]] += cost_pico
            truly[row["state"]] += billed
            self.report.estimated += 1
            self.report.short += cost_pico < billed
        for state in estimated:
            if estimated[state] < truly[state]:
                self._find("money", f"{state} ones at {estimated[state]} in all, billed {truly[state]}")
        if self.report.short > max(5, SHORT_SHARE_MAX * self.report.estimated):
            self._find("money", f"{self.report.short} estimates of {self.report.estimated} are below the bill")
        for attempt_id in bill.keys() - by_attempt.keys():
            self._find("money", f"billed and not in the ledger: {attempt_id}")

    def _find(self, kind: str, what: str) -> None:
        report = self.report
        setattr(report, kind, getattr(report, kind) + 1)
        if len(report.findings) < FINDINGS_MAX:
            report.findings.append(f"{kind} (seed {report.seed}): {what}")
