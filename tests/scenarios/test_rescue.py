"""Stream rescue: what died is gone on with where the second answer says the same, and never where it does not."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from harness import Box, running
from scenarios.fault_cells import PROTOCOLS
from signalbox.control.transcripts import PATHS, Transcript, read
from signalbox.core.hub import Event, Finished, PartDone, Started, TextDelta, ThinkingDelta, ToolDelta, ToolStarted
from signalbox.pipeline.continuation import Diverged, Spoken, Verifier

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRIMARY, FALLBACK = "openai", "vllm"
TOKENS = 24
TEXT = f"[[tokens:{TOKENS}]]"
TOOL = '[[tool:look {"city": "Berlin", "street": "Unter den Linden", "what": "all the signals and the points"}]]'
CUT = 12


def _at_once() -> dict[str, int]:
    """Holds nothing back."""
    return {"hold_tokens": 0, "hold_ms": 0}


def _config(box: Box) -> dict[str, Any]:
    """Workloads `<primary's api>-<fallback's api>`, with the fallback behind the one that dies."""

    def deployment(provider: str, api: str) -> dict[str, Any]:
        prices = box.sim.prices[provider]["sim-small"]
        return {
            "environment": f"{provider}-env",
            "protocol": PROTOCOLS[api],
            "base_url": box.sim.base_url(provider, PROTOCOLS[api]),
            "allow_private": True,
            "model": "sim-small",
            "price": {name: float(getattr(prices, name)) for name in prices.__struct_fields__},
            "capabilities": {"apis": [api]},
            "health": {"enabled": False},
        }

    deployments = {f"{p}-{api}": deployment(p, api) for p in (PRIMARY, FALLBACK) for api in PATHS}
    pairs = [(first, second) for first in PATHS for second in PATHS]
    workloads: dict[str, Any] = {
        f"{a}-{b}": {"placements": [f"{PRIMARY}-{a}", f"{FALLBACK}-{b}"], "stream_rescue": _at_once()} for a, b in pairs
    }
    workloads["held"] = {
        "placements": [f"{PRIMARY}-chat", f"{FALLBACK}-chat"],
        "stream_rescue": {"hold_tokens": 20, "hold_ms": 60_000},
    }
    workloads["hedged"] = {
        "placements": [f"{PRIMARY}-chat", f"{FALLBACK}-chat"],
        "stream_rescue": _at_once(),
        "hedge": {"after_ms": 5_000},
    }
    workloads["plain"] = {"placements": [f"{PRIMARY}-chat", f"{FALLBACK}-chat"]}
    workloads["law"] = {
        "data": ["phi"],
        "placements": [f"{PRIMARY}-chat", f"{FALLBACK}-chat"],
        "stream_rescue": _at_once(),
    }
    rules = [{"id": "phi-at-openai-only", "when": {"data": ["phi"]}, "allow": {"kind": ["cloud"]}}]
    environments = {
        f"{PRIMARY}-env": {"kind": "cloud", "region": "us", "operator": "sim"},
        f"{FALLBACK}-env": {"kind": "on-prem", "region": "eu/de"},
    }
    return {"environments": environments, "deployments": deployments, "workloads": workloads, "rules": rules}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    async with running(tmp_path_factory.mktemp("rescue") / "state") as running_box:
        refused = await running_box.configure(_config(running_box))
        assert not refused, refused
        yield running_box


def _body(api: str, workload: str, text: str, tag: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": workload, "stream": True}
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    if api == "responses":
        body |= {"input": text, "store": False, "user": tag}
        body["tools"] = [{"type": "function", "name": "look", "parameters": schema}]
    elif api == "messages":
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 512, "metadata": {"user_id": tag}}
        body["tools"] = [{"name": "look", "input_schema": schema}]
    else:
        body |= {"messages": [{"role": "user", "content": text}], "user": tag}
        body |= {"stream_options": {"include_usage": True}}
        body["tools"] = [{"type": "function", "function": {"name": "look", "parameters": schema}}]
    return body


async def _ask(box: Box, api: str, workload: str, text: str, tag: str = "t") -> tuple[Transcript, str]:
    answer = await box.request(PATHS[api], _body(api, workload, text, tag))
    return read(api, answer.status, answer.body, stream=True), answer.headers.get("x-request-id", "")


async def _healthy(box: Box, api: str, text: str) -> Transcript:
    box.sim.faults.clear()
    return (await _ask(box, api, "chat-chat", text))[0]


# Pairs of protocols: passed on or translated, before and after. Reasoning that only the second shows is left out.
PAIRS = [(first, second, text) for first in PATHS for second in PATHS for text in (TEXT, TOOL)]


@pytest.mark.parametrize(("first", "second", "text"), [*PAIRS, ("chat", "chat", f"{TEXT}[[thinking:6]]")])
@pytest.mark.parametrize("api", PATHS)
async def test_the_same_answer_is_gone_on_with(box: Box, api: str, first: str, second: str, text: str) -> None:
    whole = await _healthy(box, api, text)
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    seen, call_id = await _ask(box, api, f"{first}-{second}", text)
    assert (seen.end, seen.error) == ("whole", ""), seen
    assert seen.text == whole.text
    assert [json.loads(one) for one in seen.arguments] == [json.loads(one) for one in whole.arguments]
    assert any("taken up" in comment for comment in seen.comments)
    rows = [row for row in await box.settled(1) if row["call_id"] == call_id]
    states = [row["state"] for row in rows]
    assert states[0] == "unknown"
    assert states[-1] == "settled"
    assert all(row["reason"].endswith(" rescue") for row in rows[1:])


@pytest.mark.parametrize("text", [TEXT, TOOL], ids=["text", "tool"])
@pytest.mark.parametrize("api", PATHS)
async def test_one_that_differs_is_never_spliced(box: Box, api: str, text: str) -> None:
    """At every token: a difference in what was told ends in an error, one behind it is the second answer, whole."""
    whole = await _healthy(box, api, text)
    tokens = (TOKENS if text == TEXT else 30) + 1
    for at in range(tokens):
        box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY, body_contains=f"<{at}>")
        box.sim.fault(f"diverge@{at}", provider=FALLBACK, body_contains=f"<{at}>")

    async def one(at: int) -> Transcript:
        return (await _ask(box, api, f"{api}-{api}", text, f"<{at}>"))[0]

    told = await asyncio.gather(*(one(at) for at in range(tokens)))
    box.sim.faults.clear()
    ends: dict[str, int] = {}
    for at, seen in enumerate(told):
        ends[seen.end] = ends.get(seen.end, 0) + 1
        box.sim.fault(f"diverge@{at}", provider=FALLBACK)
        box.sim.fault("503", provider=PRIMARY)
        other = (await _ask(box, api, f"{api}-{api}", text))[0]
        box.sim.faults.clear()
        shown, first, second = _said(seen), _said(whole), _said(other)
        if seen.end == "whole":
            assert shown == second, (at, shown)
        else:
            assert seen.end == "cut", (at, seen)
            assert first.startswith(shown), (at, shown)
    assert ends["cut"] >= CUT - 4
    assert ends["whole"] >= 1


def _said(transcript: Transcript) -> str:
    return transcript.text + "".join(transcript.arguments)


async def test_an_early_death_is_invisible(box: Box) -> None:
    """Within the hold window nothing was shown, so another answer altogether may take its place."""
    await _healthy(box, "chat", TEXT)
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    box.sim.fault("diverge@0", provider=FALLBACK)
    seen, _ = await _ask(box, "chat", "held", TEXT)
    assert seen.end == "whole"
    assert seen.text.isupper(), "the fallback's own answer"
    assert not seen.comments


async def test_a_hedged_stream_is_rescued_too(box: Box) -> None:
    whole = await _healthy(box, "chat", TEXT)
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    seen, _ = await _ask(box, "chat", "hedged", TEXT)
    assert (seen.end, seen.text) == ("whole", whole.text)
    assert any("taken up" in comment for comment in seen.comments)


async def test_without_rescue_it_ends_with_an_error(box: Box) -> None:
    await _healthy(box, "chat", TEXT)
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    seen, _ = await _ask(box, "chat", "plain", TEXT)
    assert seen.end == "cut"


async def test_a_rescue_goes_through_the_interlock(box: Box) -> None:
    """The rules permit the first only: the stream ends with an error, and the second sees nothing."""
    await _healthy(box, "chat", TEXT)
    box.sim.log.clear()
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    seen, _ = await _ask(box, "chat", "law", TEXT)
    assert seen.end == "cut"
    assert {entry.provider for entry in box.sim.log.entries} == {PRIMARY}


async def test_what_cannot_be_told_in_full_is_not_rescued(box: Box) -> None:
    await _healthy(box, "chat", TEXT)
    box.sim.fault(f"reset_mid@{CUT}", provider=PRIMARY)
    body = _body("chat", "chat-chat", TEXT, "t") | {"logprobs": True}
    answer = await box.request(PATHS["chat"], body)
    assert read("chat", answer.status, answer.body, stream=True).end == "cut"


# --- the verifier by itself ---


def _pieces(text: str, cuts: list[int]) -> list[str]:
    at = sorted({0, *(cut % (len(text) + 1) for cut in cuts), len(text)})
    return [text[a:b] for a, b in itertools.pairwise(at)]


def _events(parts: list[tuple[str, str]], cuts: list[int]) -> list[Event]:
    out: list[Event] = [Started("id", "m")]
    for index, (kind, text) in enumerate(parts):
        if kind == "tool":
            out.append(ToolStarted(index, f"call-{len(cuts)}-{index}", "look"))
        for piece in _pieces(text, cuts):
            if kind == "tool":
                out.append(ToolDelta(index, piece))
            elif kind == "thinking":
                out.append(ThinkingDelta(index, piece))
            else:
                out.append(TextDelta(index, piece))
        out.append(PartDone(index))
    return [*out, Finished("stop")]


def _shown(events: list[Event]) -> list[tuple[str, str]]:
    spoken = Spoken()
    spoken.note(events)
    return [(part.kind, part.text) for part in spoken.parts.values() if part.text]


_parts = st.lists(
    st.tuples(st.sampled_from(("text", "tool", "thinking")), st.text("ab{}", min_size=1, max_size=12)), max_size=4
)
_cuts = st.lists(st.integers(0, 50), max_size=6)


@given(_parts, _cuts, _cuts, _parts, st.integers(0, 60))
async def test_no_two_answers_are_ever_put_together(
    first: list[tuple[str, str]], a: list[int], b: list[int], second: list[tuple[str, str]], died: int
) -> None:
    """However both are split and wherever the first dies: what is shown is the second answer, or an honest end."""
    for other in (first, second):
        told = _events(first, a)[: died % (len(_events(first, a)))]
        spoken = Spoken()
        spoken.note(told)
        verifier = Verifier(spoken)
        beyond: list[Event] = []
        whole = False
        try:
            for event in _events(other, b):
                beyond += verifier.take([event])
            whole = verifier.verified
        except Diverged:
            pass
        if whole:
            # A thought that only the second answer shows is left out.
            spoke, meant = _shown([*told, *beyond]), [(kind, text) for kind, text in other if text]
            assert spoke == meant or [part for part in meant if part in spoke] == spoke
            assert [part for part in spoke if part[0] != "thinking"] == [p for p in meant if p[0] != "thinking"]
        else:
            assert other is not first, "the same answer is always found again"
            assert not beyond or _shown([*told, *beyond]) == _shown([*_events(other, b)])[: len(_shown(told))]
