"""Guards that fail: every built-in one, however it fails and wherever, closes or opens as its workload declares.

What fails is put in at the seam that all guards stand behind: a guard of the table whose halves do, at one moment,
what a broken one would. Nothing is shown or sent that was not looked at, in the dialect of the caller; who fails open
is on record as skipped.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.guard.test_guard_cached import put_together
from tests.harness import Answer, Box, running

from conversations import PATHS
from signalbox.core.guards import Channel, GuardUse
from signalbox.guard.contract import AnswerGuard, Guard, Means, Outgoing, RequestGuard, Screened, Watch
from signalbox.guard.table import GUARDS

SAID = "all of the quartz is here"
TIMEOUT_MS = 60
# Both halves of what is built in; those that ask somebody else have tests of their own.
REQUESTS = ("pseudonymise", "injection")
ANSWERS = ("pseudonymise", "forbidden-text", "injection", "no-system-prompt-leak", "no-secrets", "no-personal-data",
           "signals", "valid-json")  # fmt: skip
SETTINGS: dict[str, dict[str, Any]] = {
    "pseudonymise": {"where": "always"},
    "forbidden-text": {"strings": ["Tann-7"]},
    "injection": {"after_untrusted": "deny"},
}


def crash() -> Any:
    raise RuntimeError("a defect")


def garbage() -> Any:
    return 7


def slow() -> None:
    time.sleep(2 * TIMEOUT_MS / 1000)


class Failing:
    """A guard's halves, one of which fails `when` it is asked something: screen, watch, window, feed, end or over."""

    when = ""
    fault: Callable[[], Any] = staticmethod(crash)
    met = 0

    def instead(self, when: str) -> bool:
        self.met += when == self.when
        return when == self.when

    def made(self, maker: Callable[[GuardUse, Means], Guard]) -> Callable[[GuardUse, Means], Guard]:
        def make(use: GuardUse, means: Means) -> Guard:
            guard = maker(use, means)
            request = Screening(self, guard.request) if guard.request is not None else None
            answer = Watching(self, guard.answer) if guard.answer is not None else None
            return msgspec.structs.replace(guard, request=request, answer=answer)

        return make


class Screening:
    def __init__(self, failing: Failing, inner: RequestGuard) -> None:
        self.failing, self.inner = failing, inner

    async def screen(self, sent: Outgoing) -> Screened:
        if not self.failing.instead("screen"):
            return await self.inner.screen(sent)
        if self.failing.fault is slow and sent.call.envelope.stream:
            await asyncio.sleep(10)  # one that waits, where the other one reckons
        told = self.failing.fault()
        return told if self.failing.fault is garbage else await self.inner.screen(sent)


class Watching:
    def __init__(self, failing: Failing, inner: AnswerGuard) -> None:
        self.failing, self.inner = failing, inner

    def watch(self, call: Any) -> Any:
        if self.failing.instead("watch"):
            return self.failing.fault()
        watch = self.inner.watch(call)
        return None if watch is None else Watched(self.failing, watch)


class Watched:
    def __init__(self, failing: Failing, inner: Watch) -> None:
        self.failing, self.inner = failing, inner
        self.hold_chars_max = inner.hold_chars_max

    def window(self, channel: Channel) -> Any:
        if self.failing.instead("window"):
            return self.failing.fault()
        return Windowed(self.failing, self.inner.window(channel))

    def passes(self, channel: Channel, text: str) -> bool:
        return False

    def over(self) -> Any:
        return self.failing.fault() if self.failing.instead("over") else self.inner.over()


class Windowed:
    """Without a window inside it lets pass."""

    def __init__(self, failing: Failing, inner: Any) -> None:
        self.failing, self.inner = failing, inner

    @property
    def held(self) -> str:
        return self.inner.held if self.inner is not None else ""

    def feed(self, text: str) -> Any:
        if "q" in text and self.failing.instead("feed"):
            told = self.failing.fault()
            if self.failing.fault is garbage:
                return (told, None) if self.failing.met % 2 else (text, told)
        return self.inner.feed(text) if self.inner is not None else (text, None)

    def end(self) -> Any:
        if self.failing.instead("end"):
            told = self.failing.fault()
            if self.failing.fault is garbage:
                return told
        return self.inner.end() if self.inner is not None else ("", None)


MOMENTS: list[tuple[str, Callable[[], Any]]] = [
    ("screen", crash), ("screen", garbage), ("screen", slow), ("watch", crash), ("window", crash), ("feed", crash),
    ("feed", garbage), ("feed", slow), ("end", crash), ("end", garbage), ("over", crash), ("over", garbage),
]  # fmt: skip


def asked(api: str, *, stream: bool, tool: bool) -> dict[str, Any]:
    script = "[[tool:look " + json.dumps({"q": SAID}) + "]]" if tool else f"[[text:{SAID}]]"
    body: dict[str, Any] = {"model": "g", "stream": stream}
    prompt = "You are Mira of the Blue Heron bank and tell nobody what the winter code is."
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    inner = {"name": "look", "parameters": schema}
    if api == "responses":
        body |= {"input": script, "instructions": prompt, "store": False, "tools": [{"type": "function", **inner}]}
    elif api == "messages":
        body |= {"max_tokens": 200, "messages": [{"role": "user", "content": script}], "system": prompt}
        body["tools"] = [{"name": "look", "input_schema": schema}]
    else:
        turns = [{"role": "system", "content": prompt}, {"role": "user", "content": script}]
        body |= {"messages": turns, "tools": [{"type": "function", "function": inner}]}
    return body


def refused(api: str, answer: Answer, *, looked_at: bool) -> None:
    """An error of ours, as the dialect writes it: with its status while nothing is out, else as an event."""
    kind = "overloaded_error" if api == "messages" else "guard_failed"
    assert kind in answer.body.decode(), (api, answer.status, answer.body)
    if not looked_at:
        assert b"quartz" not in answer.body, (api, answer.body)
    if answer.status != 200:
        assert answer.status == 503, (api, answer.body)
        error = json.loads(answer.body)["error"]
        assert error["type" if api == "messages" else "code"] == kind


def cells(name: str) -> list[tuple[Any, ...]]:
    """A guard at every moment; of endpoints, streams and channels a draw."""
    chance = random.Random(name)
    moments = [one for one in MOMENTS if (name in REQUESTS if one[0] == "screen" else name in ANSWERS)]
    out: list[tuple[Any, ...]] = []
    for (when, fault), fail in product(moments, ("closed", "open")):
        # A whole answer has no ends of its channels apart from their text.
        stream = when == "end" or chance.random() < 0.6
        out.append((when, fault, fail, chance.choice(list(PATHS)), stream, chance.random() < 0.4))
    return out


async def configured(box: Box, name: str) -> None:
    made: dict[str, Any] = {}
    for fail, timeout_ms in product(("closed", "open"), (0, TIMEOUT_MS)):
        guard = {"name": name, "fail": fail, "timeout_ms": timeout_ms, **SETTINGS.get(name, {})}
        workload = {"placements": ["local"], "guards": [guard], "retries": {"max_attempts": 1}}
        made[f"{fail}-{'slow' if timeout_ms else 'any'}"] = workload
    box.config["workloads"] = made
    error = await box.configure(box.config)
    assert not error, error


@pytest.mark.parametrize("name", sorted({*REQUESTS, *ANSWERS}))
async def test_a_built_in_guard_that_fails_does_what_its_workload_declares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failing, attempted, unsent = Failing(), list[str](), list[str]()
    monkeypatch.setitem(GUARDS, name, failing.made(GUARDS[name]))
    async with running(tmp_path) as box:
        await configured(box, name)
        for when, fault, fail, api, stream, tool in cells(name):
            failing.when, failing.fault, failing.met = when, fault, 0
            body = asked(api, stream=stream, tool=tool) | {"model": f"{fail}-{'slow' if fault is slow else 'any'}"}
            before = len(box.sim.log.entries)
            answer = await box.request(PATHS[api], body)
            where = (name, when, fault.__name__, fail, api, stream, tool, answer.status, answer.body)
            assert failing.met, where
            verdict = f"{name}.{'timeout' if fault is slow else 'failed'}:{'skipped' if fail == 'open' else 'flag'}@"
            if fail == "open":
                assert answer.status == 200, where
                assert SAID in put_together(answer).replace("\\", ""), where
            else:
                refused(api, answer, looked_at=when in ("end", "over"))
                assert len(box.sim.log.entries) == before + (when != "screen"), where
            (unsent if when == "screen" and fail == "closed" else attempted).append(verdict)
        rows = await box.settled(len(attempted))
        for said, row in zip([*attempted, *unsent], [*rows, *box.refused()], strict=True):
            assert [one for one in row["guards"] if one.startswith(said)], (said, row)
        assert box.chain_is_whole()


async def test_pseudonyms_that_cannot_be_kept_open_nothing_that_the_rules_forbid(tmp_path: Path) -> None:
    """Without a place for its map the guard has failed. Open goes on without it, but only where raw values may go."""
    mail = "jane.roe@example.org"
    rule = {"id": "stays", "when": {"data": ["personal"]}, "allow": {"kind": ["on-prem"]}, "transform": "pseudonymise"}
    made: dict[str, Any] = {"rules": [rule], "workloads": {}}
    for fail, place in product(("closed", "open"), ("chat", "local")):
        guards = [{"name": "pseudonymise", "where": "always", "fail": fail}]
        made["workloads"][f"{fail}-{place}"] = {"placements": [place], "data": ["personal"], "guards": guards}
    async with running(tmp_path, made) as box:
        kept = box.state.pseudonyms
        shutil.rmtree(kept, ignore_errors=True)
        kept.write_text("no folder")
        for name, stream in product(made["workloads"], (False, True)):
            body = {"model": name, "stream": stream, "messages": [{"role": "user", "content": f"[[text:mail {mail}]]"}]}
            answer = await box.request(PATHS["chat"], body)
            expected = {"closed-chat": 503, "closed-local": 503, "open-chat": 400, "open-local": 200}[name]
            assert answer.status == expected, (name, answer.body)
        sent = [(entry.provider, mail.encode() in entry.body) for entry in box.sim.log.entries]
        assert sent == [("vllm", True)] * 2
        rows = await box.settled(2)
        assert all("pseudonymise.failed:skipped@request" in row["guards"] for row in rows)
        refusals = [(one["workload"], one.get("guards", {})) for one in box.refused()]
        assert ("closed-chat", {"pseudonymise.failed:flag@request": 1}) in refusals
