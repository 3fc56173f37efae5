"""A drill: a user's own configuration against simulated providers that fail at random, and whether anything escaped.

The gateway is the real one, with its real edge, rules, interlock, transport and journal. What the providers received
is then held, request by request, against a judge that shares no code with the interlock (`drill_judge`), and so is
every refusal. Callers reach the gateway over socket pairs: nothing but the transport opens connections, not even here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from random import Random

import msgspec

from signalbox.control.breakers import Change
from signalbox.control.drill_calls import Made, Maker
from signalbox.control.drill_config import Rehearsal, deployments_of, rehearse
from signalbox.control.drill_ground import ANSWER_S, FINDINGS_MAX, ROUND, Installation, Plan, install, provider_settings
from signalbox.control.drill_judge import Case, Judge, covers, today
from signalbox.control.drill_watch import Progress, Watch
from signalbox.core.attempts import AttemptFilter
from signalbox.simulator.log import Entry
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.server import Simulator

CALLS_MAX = 1_000_000
AT_ONCE = 16
ANSWER_BYTES_MAX = 4 * 1024 * 1024
_REFUSED_BY_RULES = frozenset(("no_permitted_placement", "unknown_tool_type"))
# Troubles that a provider is given, each for a moment.
_FAULTS = ("503", "500", "429@1", "529", "401", "404", "reset", "close", "reset_mid@3", "eof@3", "ttft@60ms",
           "slow_headers@1ms", "bad_json@2", "sse_error@1", "html", "cut_json", "hang")  # fmt: skip
_TROUBLE_EVERY_S = 0.05
_TROUBLE_FOR_S = 0.4


class EnvironmentHits(msgspec.Struct):
    attempts: int = 0
    answered: int = 0
    restricted: int = 0


class WorkloadHits(msgspec.Struct):
    """unanswered: calls that all of the permitted deployments failed, as many of them as may be tried."""

    calls: int = 0
    answered: int = 0
    unanswered: int = 0


class RuleHits(msgspec.Struct):
    """applied: calls to which the rule applied. forbade: deployments that it kept from them, summed over calls."""

    applied: int = 0
    forbade: int = 0


class Result(msgspec.Struct):
    """What a drill found. escapes: requests at providers that were not permitted. refused_but_permitted: calls turned
    away, or given up, though somewhere permitted was left. unlabelled: calls whose planted content was overlooked.
    unrecorded: requests at providers without a row in the ledger. refused: by the rules, rightly. unanswered:
    permitted calls that all of their deployments failed. watched_ms: how long it called. breakers: when deployments
    went out of use and came back in that time."""

    seed: int
    calls: int = 0
    attempts: int = 0
    answered: int = 0
    refused: int = 0
    incapable: int = 0
    unanswered: int = 0
    escapes: int = 0
    refused_but_permitted: int = 0
    unlabelled: int = 0
    unrecorded: int = 0
    defects: int = 0
    environments: dict[str, EnvironmentHits] = msgspec.field(default_factory=dict[str, EnvironmentHits])
    workloads: dict[str, WorkloadHits] = msgspec.field(default_factory=dict[str, WorkloadHits])
    rules: dict[str, RuleHits] = msgspec.field(default_factory=dict[str, RuleHits])
    findings: list[str] = msgspec.field(default_factory=list[str])
    watched_ms: int = 0
    breakers: dict[str, list[Change]] = msgspec.field(default_factory=dict[str, list[Change]])

    @property
    def good(self) -> bool:
        return not (self.escapes or self.refused_but_permitted or self.unlabelled or self.unrecorded or self.defects)


class Ended(msgspec.Struct):
    """A call and what its caller got."""

    made: Made
    status: int
    call_id: str
    reason: str
    complete: bool


async def drill(plan: Plan, installation: Installation, progress: Progress) -> Result:
    """Runs the drill. Raises ConfigError for a file that cannot be used. progress: told now and
    then, and at the end."""
    deployments = deployments_of(plan.content, plan.name)
    sim = Simulator(provider_settings(deployments, plan))
    await sim.start()
    try:
        ports = {name: await sim.start_provider_port(f"d{at}") for at, name in enumerate(deployments)}
        ready = rehearse(plan.content, plan.name, {name: port.url for name, port in ports.items()})
        return await _Drill(plan, installation, sim, ports, ready).run(progress)
    finally:
        await sim.stop()


class _Drill:
    """One drill under way."""

    def __init__(
        self,
        plan: Plan,
        installation: Installation,
        sim: Simulator,
        ports: dict[str, ProviderPort],
        ready: Rehearsal,
    ) -> None:
        self._plan = plan
        self._installation = installation
        self._sim = sim
        self._ports = ports
        self._ready = ready
        self._judge = Judge(ready.doc, ready.abilities, today())
        self._maker = Maker(ready.doc, self._judge, Random(plan.seed))  # noqa: S311  (calls that can be made again)
        self._by_provider = {f"d{at}": name for at, name in enumerate(ports)}
        self._keys: list[str] = []
        self._made = 0
        self.result = Result(plan.seed)

    async def run(self, progress: Progress) -> Result:
        await self._install()
        watch = Watch(self._installation.obey, lambda: (self._made, len(self.result.findings)), progress)
        async with watch.beside(self._trouble()):
            while self.result.calls < self._plan.calls:
                self._sim.log.clear()
                since_ms = time.time_ns() // 1_000_000
                made = [self._maker.make() for _ in range(min(ROUND, self._plan.calls - self.result.calls))]
                ended = await self._round(made)
                await asyncio.to_thread(self._judge_round, ended, self._sim.log.entries, since_ms)
            await watch.look()
        watch.over(self.result)
        return self.result

    async def _install(self) -> None:
        self._keys = await install(self._installation, self._ready.text, self._plan.name, self._maker.callers)
        self.result.environments = {
            name: EnvironmentHits() for name in dict.fromkeys(map(self._judge.environment_of, self._ports))
        }
        self.result.rules = {name: RuleHits() for name in self._judge.rule_ids}

    # --- trouble ---

    async def _trouble(self) -> None:
        """Deployments go down and come up again, or fail in one way or another for a moment. A second source of chance:
        how many troubles a call meets depends on the machine, which calls there are must not."""
        rng = Random(f"{self._plan.seed}-trouble")  # noqa: S311
        names = list(self._by_provider)
        while True:
            await asyncio.sleep(_TROUBLE_EVERY_S)
            provider = rng.choice(names)
            if rng.random() < 0.3:
                port = self._ports[self._by_provider[provider]]
                await port.down()
                await asyncio.sleep(rng.random() * _TROUBLE_FOR_S)
                with contextlib.suppress(OSError):
                    await port.up()
            else:
                booked = self._sim.fault(rng.choice(_FAULTS), provider=provider, for_s=_TROUBLE_FOR_S)
                asyncio.get_running_loop().call_later(2 * _TROUBLE_FOR_S, self._sim.faults.remove, booked)

    # --- calls ---

    async def _round(self, made: list[Made]) -> list[Ended]:
        waiting = list(reversed(made))
        ended: list[Ended] = []

        async def caller() -> None:
            while waiting:
                ended.append(await self._call(waiting.pop()))
                self._made += 1

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        return ended

    async def _call(self, made: Made) -> Ended:
        lines = "".join(f"{name}: {value}\r\n" for name, value in made.headers)
        head = (
            f"POST {made.path} HTTP/1.1\r\nhost: drill\r\nconnection: close\r\n"
            f"authorization: Bearer {self._keys[made.caller]}\r\n{lines}content-length: {len(made.body)}\r\n\r\n"
        )
        reader, writer = await self._installation.reach()
        try:
            writer.write(head.encode() + made.body)
            received = await asyncio.wait_for(_all_of(reader), ANSWER_S)
        except (TimeoutError, OSError):
            received = b""
        finally:
            writer.close()
        return _ended(made, received)

    # --- judging ---

    def _judge_round(self, ended: list[Ended], seen: list[Entry], since_ms: int) -> None:
        """Holds what the callers got, what the providers saw and what the ledger says against the judge."""
        calls = {each.call_id: each for each in ended if each.call_id}
        books = self._read_books(since_ms)
        for entry in seen:
            if entry.endpoint:
                self._judge_request(entry, calls, books)
        for each in ended:
            self._judge_call(each, books)

    def _read_books(self, since_ms: int) -> _Books:
        books = _Books()
        store = self._installation.books()
        try:
            where = AttemptFilter(since_ms=since_ms, include_open=True)
            for row in store.attempts(where):
                books.deployments[row.attempt_id] = row.deployment
                books.attempts[row.call_id] = books.attempts.get(row.call_id, 0) + 1
                books.add(row.call_id, row.labels)
            for refused in store.refused(where):
                books.add(refused.call_id, refused.labels)
        finally:
            store.close()
        return books

    def _judge_request(self, entry: Entry, calls: dict[str, Ended], books: _Books) -> None:
        """One request as a provider received it."""
        result, deployment = self.result, self._by_provider[entry.provider]
        call_id = entry.client_request_id.rpartition("-")[0]
        ended, labels = calls.get(call_id), books.labels.get(call_id)
        result.attempts += 1
        hits = result.environments[self._judge.environment_of(deployment)]
        hits.attempts += 1
        hits.answered += entry.end == "complete" and entry.status == 200
        hits.restricted += labels is not None and "restricted" in labels
        if books.deployments.get(entry.client_request_id) != deployment:
            result.unrecorded += 1
            self._find(f"unrecorded: a request at {deployment} has no row in the ledger")
        if ended is None:
            result.escapes += 1
            self._find(f"escape: a request at {deployment} belongs to no call")
            return
        case = _with(ended.made.case, labels)
        forbidding = self._judge.forbidding(case, deployment)
        if forbidding:
            result.escapes += 1
            self._find(f"escape: {_told(case)} reached {deployment}, which {', '.join(forbidding)} forbids")

    def _judge_call(self, ended: Ended, books: _Books) -> None:
        """One call as its caller saw it end."""
        result, labels = self.result, books.labels.get(ended.call_id)
        result.calls += 1
        hits = result.workloads.setdefault(ended.made.case.workload, WorkloadHits())
        hits.calls += 1
        case = _with(ended.made.case, labels)
        self._count_rules(case)
        if labels is not None and not covers(labels, ended.made.case.labels):
            result.unlabelled += 1
            self._find(f"overlooked: {_told(ended.made.case)} was taken for {', '.join(sorted(labels))}")
        if ended.status in (0, 500):
            result.defects += 1
            self._find(f"defect: {_told(case)} got {ended.status or 'no answer'}")
        elif ended.status == 200 and ended.complete:
            result.answered += 1
            hits.answered += 1
        else:
            self._judge_failure(ended, case, books)

    def _judge_failure(self, ended: Ended, case: Case, books: _Books) -> None:
        """Failing is due when nothing is permitted, when nothing of that is able, or when all of it failed."""
        result = self.result
        permitted = self._judge.permitted(case)
        able = [name for name in permitted if self._judge.able(case, name)]
        if not permitted:
            result.refused += 1
        elif not able:
            result.incapable += 1
        elif ended.reason in _REFUSED_BY_RULES:
            result.refused_but_permitted += 1
            self._find(f"refused but permitted: {_told(case)} may go to {_some(able)}: {ended.reason}")
        else:
            result.unanswered += 1
            result.workloads[case.workload].unanswered += 1
            due = min(len(able), self._judge.attempts_max(case.workload))
            # Content that was out already ends a call; a translation may find that it cannot carry what is not plain.
            if ended.made.plain and ended.status != 200 and books.attempts.get(ended.call_id, 0) < due:
                result.refused_but_permitted += 1
                self._find(f"given up too early: {_told(case)} might have gone to {_some(able)}: {ended.reason}")

    def _count_rules(self, case: Case) -> None:
        for rule in self._judge.applying(case):
            self.result.rules[rule].applied += 1
        for deployment in self._ports:
            for rule in self._judge.forbidding(case, deployment):
                if rule in self.result.rules:
                    self.result.rules[rule].forbade += 1

    def _find(self, what: str) -> None:
        if len(self.result.findings) < FINDINGS_MAX:
            self.result.findings.append(what)


class _Books(msgspec.Struct):
    """What the ledger says about one round: labels and number of attempts by call, deployment by attempt."""

    labels: dict[str, frozenset[str]] = msgspec.field(default_factory=dict[str, frozenset[str]])
    attempts: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    deployments: dict[str, str] = msgspec.field(default_factory=dict[str, str])

    def add(self, call_id: str, labels: tuple[str, ...]) -> None:
        self.labels[call_id] = self.labels.get(call_id, frozenset()) | frozenset(labels)


def _with(case: Case, labels: frozenset[str] | None) -> Case:
    """The call with everything that was found in it: what was found more than planted counts as well."""
    return case if labels is None else msgspec.structs.replace(case, labels=case.labels | labels)


def _told(case: Case) -> str:
    what = f"{case.api} of workload {case.workload} with {', '.join(sorted(case.labels)) or 'nothing'}"
    return f"{what}, onward {', '.join(case.onward)}" if case.onward else what


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (", …" if len(names) > 4 else "")


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    received = bytearray()
    while len(received) <= ANSWER_BYTES_MAX and (piece := await reader.read(65_536)):
        received += piece
    return bytes(received)


def _ended(made: Made, received: bytes) -> Ended:
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    told = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    words = first.split(" ")
    status = int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    broken = b"event: error" in body or b'data: {"error"' in body or b"event: response.failed" in body
    whole = "content-length" in told or body.endswith(b"0\r\n\r\n")
    return Ended(made, status, told.get("x-request-id", ""), told.get("x-signalbox-reason", ""), whole and not broken)
