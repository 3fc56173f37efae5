"""Cascades with a scorer that was learnt, with a second opinion, and with questions too easy or too hard to cascade."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from harness import Answer, Box, running
from signalbox.core.choosing import read_scorer, write_scorer
from signalbox.routing.answer_rows import Row, learn, read

SURE, UNSURE = "The answer is 42.", "Perhaps it is 42, I think, maybe, I guess."


def rows(count: int) -> list[Row]:
    """Whoever hedges is wrong, as long as one looks."""
    found: list[Row] = []
    for number in range(count):
        good = number % 2 == 0
        told = SURE if good else UNSURE
        found.append(Row(f"[[text:{told}]] {'Please. ' * (number % 5)}{number}", told, good=good))
    return found


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scorers") / "extract.scorer"
    path.write_bytes(write_scorer(learn(rows(600))))
    return path


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path) as box:
        yield box


async def configured(box: Box, **cascade: Any) -> str:
    config = box.config
    config["workloads"]["w"] = {
        "strategy": "cascade",
        "placements": ["chat", "local"],
        "cascade": {"price_ratio_min": 0, **cascade},
    }
    return await box.configure(config)


async def ask(box: Box, text: str, **more: Any) -> Answer:
    body = {"model": "w", "messages": [{"role": "user", "content": text}], **more}
    return await box.request("/v1/chat/completions", body)


def placed(answer: Answer) -> tuple[str, str]:
    return answer.headers["x-signalbox-placement"].partition("@")[0], answer.headers["x-signalbox-reason"]


async def test_a_scorer_decides_by_what_its_rows_prove(box: Box, scorer: Path) -> None:
    # Of some three hundred rows none may be lost, so that less than one in a hundred is, as likely as stated.
    assert not await configured(box, scorer=str(scorer), loss_share_max=0.01)
    assert placed(await ask(box, f"[[text:{SURE}]]")) == ("chat", "cascade:w")
    assert placed(await ask(box, f"[[text:{UNSURE}]]")) == ("local", "cascade:w doubted")


async def test_too_few_rows_prove_nothing(box: Box, tmp_path: Path) -> None:
    path = tmp_path / "few.scorer"
    path.write_bytes(write_scorer(learn(rows(120))))
    assert not await configured(box, scorer=str(path))
    assert placed(await ask(box, f"[[text:{SURE}]]")) == ("local", "cascade:w unproven")
    # What is stated needs no proof.
    assert not await configured(box, scorer=str(path), threshold=0.5)
    assert placed(await ask(box, f"[[text:{SURE}]]")) == ("chat", "cascade:w")


async def test_a_scorer_that_is_none_is_refused(box: Box, tmp_path: Path, scorer: Path) -> None:
    path = tmp_path / "wrong.scorer"
    for content in (b"", b"{}", b"\xff", scorer.read_bytes().replace(b"answers 1", b"answers 9")):
        path.write_bytes(content)
        assert "cannot be used" in await configured(box, scorer=str(path))
    assert "cannot be used" in await configured(box, scorer=str(tmp_path / "gone"))


def chat_answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}
    told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return json.dumps(told).encode()


@pytest.mark.parametrize("stream", [False, True])
async def test_agreement_of_two_cheap_models_counts(box: Box, stream: bool) -> None:
    async with CannedUpstream() as third:
        box.config["deployments"]["third"] = third.deployment("openai", ["chat"])
        assert not await configured(box, agrees_with="third", threshold=0.5)
        third.answer = http(200, chat_answer("I get 42."))
        assert placed(await ask(box, "[[text:It is 42.]]", stream=stream)) == ("chat", "cascade:w")
        assert placed(await ask(box, "[[text:It is 43.]]", stream=stream)) == ("local", "cascade:w doubted")
        found = await box.settled(5)
        opinions = [row for row in found if row["deployment"] == "third"]
        assert len(opinions) == len(third.asked) == 2
        assert all(row["reason"].startswith("agreement ") for row in opinions)
        assert len({row["call_id"] for row in found}) == 2


async def test_several_opinions_are_each_asked_and_weighed_together(box: Box) -> None:
    async with CannedUpstream() as third, CannedUpstream() as fourth:
        box.config["deployments"]["third"] = third.deployment("openai", ["chat"])
        box.config["deployments"]["fourth"] = fourth.deployment("openai", ["chat"])
        assert not await configured(box, agrees_with=["third", "fourth"], threshold=0.5)
        third.answer, fourth.answer = http(200, chat_answer("I get 42.")), http(200, chat_answer("That is 43."))
        # One of two agrees, which is enough for the scorer that nobody fitted; nobody is not.
        assert placed(await ask(box, "[[text:It is 42.]]")) == ("chat", "cascade:w")
        assert placed(await ask(box, "[[text:It is 44.]]")) == ("local", "cascade:w doubted")
        # Who fails has no opinion, and the others count all the same.
        fourth.answer = http(400, b'{"error": {"message": "no"}}')
        assert placed(await ask(box, "[[text:It is 42.]]")) == ("chat", "cascade:w")
        assert placed(await ask(box, "[[text:It is 43.]]")) == ("local", "cascade:w doubted")
        found = await box.settled(14)
        opinions = [row for row in found if row["reason"].startswith("agreement ")]
        assert sorted(row["deployment"] for row in opinions) == ["fourth"] * 4 + ["third"] * 4
        assert len({row["attempt_id"] for row in found}) == 14
        assert len({row["call_id"] for row in found}) == 4


async def test_whoever_is_asked_counts_in_the_price(box: Box) -> None:
    config = box.config
    price = {"input_mtok": 1, "output_mtok": 1}
    for name, dear in (("chat", 1), ("local", 15), ("responses", 1)):
        config["deployments"][name]["price"] = {key: value * dear for key, value in price.items()}
    assert not await configured(box, price_ratio_min=10)
    assert "7.5 times as dear as 'chat' with 'responses'" in await configured(
        box, price_ratio_min=10, agrees_with=["responses"]
    )
    assert not await configured(box, price_ratio_min=7, agrees_with=["responses"])


async def test_a_second_opinion_that_fails_is_none(box: Box) -> None:
    config = box.config
    config["deployments"]["third"] = config["deployments"]["responses"]
    assert not await configured(box, agrees_with="third")
    box.sim.fault("503", provider="azure")
    assert placed(await ask(box, "[[text:It is 42.]]")) == ("chat", "cascade:w")


async def test_a_second_opinion_is_refused_what_the_rules_refuse(box: Box) -> None:
    config = box.config
    config["deployments"]["third"] = config["deployments"]["responses"]
    config["rules"] = [{"id": "home", "when": {"data": ["phi"]}, "allow": {"not": {"kind": ["private-cloud"]}}}]
    assert not await configured(box, agrees_with="third")
    config["workloads"]["w"]["data"] = ["phi"]
    assert not await box.configure(config)
    assert placed(await ask(box, "[[text:It is 42.]]")) == ("chat", "cascade:w")
    assert {one.provider for one in box.bill()} == {"openai"}


async def test_extremes_are_not_cascaded(box: Box) -> None:
    hard = (
        "Prove by induction that the sum of the first n odd numbers is n^2, explain each step, and give an example. "
        * 3
    )
    assert not await configured(box, hard_share=1.0)
    assert placed(await ask(box, hard)) == ("local", "cascade:w hard")
    assert not await configured(box, easy_share=1.0, threshold=1.0)
    assert placed(await ask(box, "Hi there [[text:ok]]"))[1] in ("cascade:w easy", "cascade:w doubted")
    assert not await configured(box, threshold=1.0)
    assert placed(await ask(box, "Hi there [[text:ok]]"))[1] == "cascade:w doubted"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"agrees_with": "nobody"}, "there is no deployment"),
        ({"agrees_with": "chat"}, "the weak or the strong one itself"),
        ({"agrees_with": ["responses", "local"]}, "the weak or the strong one itself"),
        ({"agrees_with": ["responses", "responses"]}, "twice"),
        ({"agrees_with": ["responses"] * 5}, "agrees_with"),
        ({"loss_share_max": 0}, "loss_share_max"),
    ],
)
async def test_settings_that_cannot_be(box: Box, settings: dict[str, Any], said: str) -> None:
    assert said in await configured(box, **settings)


def test_the_bound_holds_on_rows_that_were_not_seen() -> None:
    fitted = learn(rows(800))
    assert fitted.made["auc"] > 0.95
    assert read_scorer(write_scorer(fitted)) == fitted
    assert {row.score > 0.5 for row in fitted.judged if row.lost} == {True}


def test_rows_that_cannot_be_read_are_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        read([b'{"prompt": "a", "answer": "b", "good": true}\n', b"{}\n"])


def test_fitting_from_the_command_line(tmp_path: Path) -> None:
    told = tmp_path / "rows.jsonl"
    told.write_text(
        "".join(json.dumps({"prompt": r.prompt, "answer": r.answer, "good": r.good}) + "\n" for r in rows(600))
    )
    command = [sys.executable, "-m", "signalbox", "router", "fit-answers", str(told), "--out", str(tmp_path / "s")]
    command.append("--json")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] > 0.3
    assert read_scorer((tmp_path / "s").read_bytes()).made["auc"] > 0.95
    command[5] = str(tmp_path / "no")
    assert subprocess.run(command, capture_output=True).returncode == 2
