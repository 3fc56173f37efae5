"""Answers that are held until somebody has judged them: a cascade's weak one, and one that does not fit its schema.
Nobody gets what a guard takes out of them, and what guards say stands in the row of the attempt that said it."""

from __future__ import annotations

import json
import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tests.guard.test_guard_cached import kind_of_hit, put_together
from tests.harness import Answer, Box, running

from conversations import NEVER, PATHS, tool, wanting

SECRET = "Tann-7"
MAIL = "jane.roe@example.org"
SAID = f"all of {SECRET}, mail {MAIL}"
KINDS = ("text", "tool", "reasoning")
GUARDS: list[Any] = [{"name": "pseudonymise", "where": "always"}, {"name": "forbidden-text", "strings": [SECRET]}]
CUT: list[Any] = [{"name": "forbidden-text", "strings": [SECRET], "action": "cut"}]
REPAIR = {"name": "valid-json", "repair": True, "hold_streams": True}
TAKEN_OUT = "forbidden-text.string:replace@"


def asked(api: str, workload: str, kind: str, *, stream: bool, said: str = SAID) -> dict[str, Any]:
    script = {
        "text": f"[[text:{said}]]",
        "tool": "[[tool:look " + json.dumps({"q": said}) + "]]",
        "reasoning": f"[[thought:{said}]][[text:done]]",
    }[kind]
    body: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        body |= {"input": script, "store": False}
    else:
        body |= {"max_tokens": 500, "messages": [{"role": "user", "content": script}]}
    if kind == "tool":
        schema = {"type": "object", "properties": {"q": {"type": "string"}}}
        body["tools"] = [tool(api, schema)]
    return body


async def with_cascades(box: Box, guards: list[Any], **more: Any) -> None:
    """A weak and a strong model at one provider. Workloads by what becomes of the weak one's answer."""
    config = box.config
    prices = box.sim.prices["vllm"]
    told = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
    for name, model in (("weak", "sim-small"), ("strong", "sim-large"), ("broken", "sim-large!500")):
        price = {key: float(getattr(prices[model.partition("!")[0]], key)) for key in told}
        made = {**config["deployments"]["local"], "model": model, "price": price, "health": {"enabled": False}}
        config["deployments"][name] = made
    for outcome, strong, threshold in (("kept", "strong", 0.0), ("escalated", "strong", 1.0), ("alone", "broken", 1.0)):
        pair = {"weak": "weak", "strong": strong, "price_ratio_min": 2, "threshold": threshold}
        config["workloads"][outcome] = {
            "strategy": "cascade", "placements": ["weak", strong], "cascade": pair, "guards": guards, **more,
        }  # fmt: skip
    error = await box.configure(config)
    assert not error, error


def is_clean(answer: Answer, where: object) -> None:
    """Nothing forbidden, no tokens, and a mark where the forbidden text stood."""
    said = put_together(answer)
    assert answer.status == 200, (where, answer.body)
    assert SECRET not in said, where
    assert b"EMAIL_" not in answer.body, where
    assert "[string removed]" in said, where


@pytest.mark.parametrize("outcome", ["kept", "escalated", "alone"])
async def test_a_cascade_shows_nothing_that_guards_take_out_and_its_rows_say_so(tmp_path: Path, outcome: str) -> None:
    """Three endpoints, streamed and not, every channel; the weak answer that is given, the one that is not, and the one
    that is given because the strong one cannot be had."""
    async with running(tmp_path) as box:
        await with_cascades(box, GUARDS)
        seen = 0
        for api, kind, stream in product(PATHS, KINDS, (False, True)):
            answer = await box.request(PATHS[api], asked(api, outcome, kind, stream=stream))
            said = put_together(answer)
            if kind == "reasoning" and "[string removed]" not in said:
                assert SECRET not in said, (api, stream)  # this dialect does not show another one's reasoning
                continue
            is_clean(answer, (api, kind, stream))
            assert MAIL in said, (api, kind, stream)
            seen += 1
        assert seen >= 14
        rows = [row for row in await box.settled(18) if row["state"] == "settled"]
        # Each attempt's own row has what its own answer made guards say, whoever got it, and no more.
        taken = [[count for name, count in row.get("guards", {}).items() if name.startswith(TAKEN_OUT)] for row in rows]
        assert taken.count([1]) >= seen * (2 if outcome == "escalated" else 1)
        assert all(one in ([1], []) for one in taken)
        assert {row["deployment"] for row in rows} == ({"weak", "strong"} if outcome == "escalated" else {"weak"})
        assert box.chain_is_whole()


@pytest.mark.parametrize("where", ["off-premises", "always"])
@pytest.mark.parametrize("session", ["", "thread-7"])
async def test_a_second_opinion_is_asked_with_the_same_tokens(tmp_path: Path, session: str, where: str) -> None:
    async with running(tmp_path) as box:
        await with_cascades(box, [{"name": "pseudonymise", "where": where}])
        # All of them stand in a cloud.
        for name in ("weak", "strong", "other"):
            made = {**box.config["deployments"]["weak" if name == "other" else name], "environment": "openai-env"}
            box.config["deployments"][name] = made
        box.config["workloads"]["kept"]["cascade"] |= {"agrees_with": "other", "price_ratio_min": 0}
        assert not await box.configure(box.config)
        for api, stream in product(PATHS, (False, True)):
            before = len(box.sim.log.entries)
            headers = {"x-signalbox-session": session} if session else {}
            body = asked(api, "kept", "text", stream=stream)
            answer = await box.request(PATHS[api], body, headers=headers)
            assert MAIL in put_together(answer), (api, stream)
            sent = [one.body for one in box.sim.log.entries[before:]]
            assert len(sent) == 2, (api, stream)
            assert not any(MAIL.encode() in one for one in sent), (api, stream)
            assert len({token for one in sent for token in re.findall(rb"EMAIL_[a-z0-9]{5}", one)}) == 1, (api, stream)


async def test_nobody_else_is_asked_about_what_an_external_guard_does_not_let_leave(tmp_path: Path) -> None:
    guard = {"name": "external", "deployment": "local", "found_when": "unsafe", "passes_when": "^safe"}
    async with running(tmp_path) as box:
        await with_cascades(box, [guard])
        box.config["deployments"]["other"] = {**box.config["deployments"]["weak"], "model": "sim-reason"}
        box.config["workloads"]["kept"]["cascade"] |= {"agrees_with": "other", "price_ratio_min": 0}
        assert not await box.configure(box.config)
        for api, stream in product(PATHS, (False, True)):
            for said, models in (("unsafe", ["sim-small"]), ("safe", ["sim-small", "sim-small", "sim-reason"])):
                before = len(box.sim.log.entries)
                answer = await box.request(PATHS[api], asked(api, "kept", "text", stream=stream, said=said))
                assert answer.status == (400 if said == "unsafe" else 200), (api, stream, answer.body)
                assert [one.model for one in box.sim.log.entries[before:]] == models, (api, stream)


async def test_a_cascade_ends_where_a_guard_cuts(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        await with_cascades(box, CUT)
        for outcome, api, stream in product(("kept", "escalated", "alone"), PATHS, (False, True)):
            answer = await box.request(PATHS[api], asked(api, outcome, "text", stream=stream))
            assert answer.status == 200, (outcome, api, stream)
            assert SECRET not in put_together(answer), (outcome, api, stream)
            assert b"content_filter" in answer.body or b"refusal" in answer.body, (outcome, api, stream)
            if api == "responses" and not stream:
                assert json.loads(answer.body)["output"][-1]["status"] == "incomplete", outcome
        rows = [row for row in await box.settled(18) if row["state"] == "settled"]
        assert all(row["guards"] == {"forbidden-text.string:cut@text": 1} for row in rows)


@pytest.mark.parametrize("tries", [1, 2], ids=["given-after-all", "repaired"])
async def test_an_answer_that_is_asked_for_again_shows_nothing_either(tmp_path: Path, tries: int) -> None:
    """The first answer is held with what is forbidden in it; given or not, guards have looked at it."""
    made = {"guards": [*GUARDS, REPAIR], "retries": {"max_attempts": tries}}
    workloads = {f"g-{place}": {"placements": [place], **made} for place in PATHS}
    async with running(tmp_path, {"workloads": workloads}) as box:
        unfit = json.dumps({"b": SAID})
        for at, (api, place, stream) in enumerate(product(PATHS, PATHS, (False, True))):
            where = (api, place, stream)
            body = asked(api, f"g-{place}", "text", stream=stream, said=unfit) | wanting(api)
            answer = await box.request(PATHS[api], body)
            assert answer.status == 200, (where, answer.body)
            said = put_together(answer)
            assert SECRET not in said, where
            assert b"EMAIL_" not in answer.body, where
            if tries == 1:
                assert "[string removed]" in said, where
                assert MAIL in said, where
            rows = (await box.settled(tries * at + tries))[-tries:]
            first = next(row for row in rows if "repair:" not in row["reason"])
            assert first["guards"][f"{TAKEN_OUT}text"] == 1, where
            assert first["guards"]["valid-json.does-not-fit:flag@text"] == 1, where
        assert not [entry for entry in box.sim.log.entries if MAIL.encode() in entry.body]


async def test_a_cascade_whose_answer_is_asked_for_again(tmp_path: Path) -> None:
    """Both at once, so that an answer is held twice."""
    async with running(tmp_path) as box:
        await with_cascades(box, [*GUARDS, REPAIR])
        unfit = json.dumps({"b": SAID})
        for outcome, api, stream in product(("kept", "escalated", "alone"), PATHS, (False, True)):
            body = asked(api, outcome, "text", stream=stream, said=unfit) | wanting(api)
            answer = await box.request(PATHS[api], body)
            assert answer.status == 200, (outcome, api, stream, answer.body)
            assert SECRET not in put_together(answer), (outcome, api, stream)
            assert b"EMAIL_" not in answer.body, (outcome, api, stream)
        assert box.chain_is_whole()


async def test_an_answer_that_nobody_vouches_for_is_given_and_not_kept(tmp_path: Path) -> None:
    """Of a cascade whose strong model could not be had, and of a repair that did not help."""
    cache = {"exact_ttl_s": 600, "data_max": "restricted"}
    async with running(tmp_path) as box:
        await with_cascades(box, [REPAIR], cache=cache)
        for api, stream in product(PATHS, (False, True)):
            for _ in range(2):
                answer = await box.request(PATHS[api], asked(api, "alone", "text", stream=stream))
                assert kind_of_hit(answer) == "", (api, stream)
            for outcome in ("kept", "escalated"):
                unfit = asked(api, outcome, "text", stream=stream) | wanting(api, NEVER)
                for _ in range(2):
                    answer = await box.request(PATHS[api], unfit)
                    assert kind_of_hit(answer) == "", (api, outcome, stream)
            for at in range(2):  # and one that is vouched for is kept
                answer = await box.request(PATHS[api], asked(api, "kept", "text", stream=stream))
                assert kind_of_hit(answer) == ("exact" if at else ""), (api, stream)
