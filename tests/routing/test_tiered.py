"""Strategy `tiered` on a whole installation: real calls go to the tier that their question needs, and the ledger says
why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import Box, running
from signalbox.core.tiering import Head, Judged, read_head, write_head
from signalbox.routing.difficulty.features import Asked, features
from signalbox.routing.difficulty.scorer import Scorer
from signalbox.routing.difficulty.shipped import SHIPPED, shipped

EASY = "What is the capital of France?"
HARD = (
    "Let G be a finite group of order 2520 acting transitively on a set of 21 points. Prove that the stabiliser of a "
    "point is not normal, compute the number of its Sylow 7-subgroups step by step, and show that the integral "
    "$\\int_0^1 x^4 (1-x)^4 / (1+x^2) dx$ equals $22/7 - \\pi$."
)


def workload(**tiered: Any) -> dict[str, Any]:
    return {"w": {"placements": ["local", "chat"], "strategy": "tiered", "tiered": tiered}}


# The cheap tier and the strong one: what the simulator bills for them tells the order.
PRICES = {"local": 1, "chat": 20}


async def configure(box: Box, quality: dict[str, float] | None = None, **tiered: Any) -> str:
    config = box.config | {"workloads": box.config["workloads"] | workload(**tiered)}
    deployments = {name: dict(one) for name, one in config["deployments"].items()}
    for name, price in PRICES.items():
        deployments[name]["price"] = {"input_mtok": price, "output_mtok": 4 * price}
        if quality is not None and name in quality:
            deployments[name]["quality"] = quality[name]
    return await box.configure(config | {"deployments": deployments})


async def ask(box: Box, *texts: str, **more: Any) -> tuple[str, str]:
    """Deployment and reason of one call; of several texts every other one is the model's."""
    turns = [{"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(texts)]
    headers = more.pop("headers", None)
    body = {"model": "w", "messages": turns, **more}
    answer = await box.request("/v1/chat/completions", body, headers=headers)
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-placement"].partition("@")[0], answer.headers["x-signalbox-reason"]


SCORER = Scorer(shipped())


def score(text: str) -> float:
    return SCORER.score(features(Asked(text)))


def head_file(path: Path, judged: list[tuple[str, int]], tiers: tuple[str, ...] = ("local", "chat")) -> str:
    """The shipped weights with labelled rows of our own: texts, and whether the cheap tier's answer was worse."""
    rows = tuple(Judged(score(text), lost) for text, lost in judged)
    scores = sorted(row.score for row in rows)
    ranks = [scores[min(len(scores) - 1, at * len(scores) // 100)] for at in range(101)]
    head = msgspec.structs.replace(shipped(), tiers=tiers, rows=len(rows), ranks=tuple(ranks), judged=rows)
    path.write_bytes(write_head(head))
    return str(path)


def test_the_head_that_ships_is_whole_and_small() -> None:
    assert isinstance(read_head(SHIPPED.read_bytes()), Head)
    assert SHIPPED.stat().st_size < 1_000_000
    assert score(HARD) > score(EASY)


@pytest.mark.parametrize("cut", [0, 5, 30, 1000, -1])
def test_a_damaged_head_is_told(cut: int) -> None:
    with pytest.raises(ValueError, match=r"damaged|no head"):
        read_head(SHIPPED.read_bytes()[:cut])


async def test_a_budget_sends_the_hardest_to_the_strong_tier(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await configure(box, strong_share=0.5)
        easy, why_easy = await ask(box, EASY)
        hard, why_hard = await ask(box, HARD)
        assert (easy, hard) == ("local", "chat")
        assert why_easy.startswith("tiered:w budget d=0.")
        assert "t=0.50 shipped" in why_easy
        # The one that was kept is owed: the threshold of the next has moved a little.
        assert "t=0.49 shipped" in why_hard
        rows = await box.settled(2)
        assert [(row["deployment"], row["reason"]) for row in rows] == [("local", why_easy), ("chat", why_hard)]
        assert not await configure(box, strong_share=0.0)
        assert (await ask(box, HARD))[0] == "local"
        assert not await configure(box, strong_share=1.0)
        assert (await ask(box, EASY))[0] == "chat"


async def test_without_labelled_rows_only_pleasantries_and_listed_texts_stay_cheap(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await configure(box, easy=["Summarise the ticket"])
        assert (await ask(box, EASY)) == ("chat", (await ask(box, EASY))[1])
        assert " unproven " in (await ask(box, EASY))[1]
        for text in ("Hello!", "Thanks a lot", "hi,  SUMMARISE the   ticket please"):
            assert await ask(box, text) == ("local", "tiered:w easy"), text
        assert (await ask(box, ""))[0] == "chat", "what cannot be read is not easy"


async def test_a_proven_bound_lets_the_cheap_tier_answer_and_no_more(tmp_path: Path) -> None:
    easy = [(f"{EASY} Number {number}.", 0) for number in range(150)]
    hard = [(f"{HARD} Number {number}.", 1) for number in range(150)]
    good, bad = head_file(tmp_path / "good.head", easy + hard), head_file(tmp_path / "few.head", easy[:40] + hard[:40])
    async with running(tmp_path / "state") as box:
        assert not await configure(box, head=good, loss_share_max=0.05)
        assert (await ask(box, EASY))[0] == "local"
        placed, why = await ask(box, HARD)
        assert placed == "chat"
        assert " hard d=" in why
        assert not await configure(box, head=good, loss_share_max=0.001)
        assert (await ask(box, EASY))[0] == "chat", "300 rows cannot prove one in a thousand"
        assert not await configure(box, head=bad, loss_share_max=0.05)
        assert " unproven " in (await ask(box, EASY))[1], "80 rows are not enough"
        other = head_file(tmp_path / "other.head", easy + hard, ("chat", "local"))
        assert not await configure(box, head=other, loss_share_max=0.05)
        assert (await ask(box, EASY))[0] == "chat", "the bound is about another strongest tier"


async def test_a_conversation_goes_up_at_once_and_down_only_when_clearly_easier(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await configure(box, strong_share=0.5, hysteresis_share=0.5)
        session = {"x-signalbox-session": "talk-1"}
        assert (await ask(box, EASY, headers=session))[0] == "local"
        assert (await ask(box, HARD, headers=session))[0] == "chat"
        placed, why = await ask(box, EASY, headers=session)
        assert placed == "chat"
        assert " held " in why
        assert (await ask(box, EASY, headers={"x-signalbox-session": "talk-2"}))[0] == "local"
        assert (await ask(box, HARD, "An answer.", "And now?"))[0] in ("local", "chat")


async def test_explored_calls_record_the_probability_of_what_was_drawn(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await configure(box, strong_share=0.0, explore_share=0.1)
        seen = [await ask(box, f"{EASY} {number}") for number in range(80)]
        for placed, why in seen:
            expected = "p=0.9500" if placed == "local" else "p=0.0500"
            assert why.endswith(expected), why


async def test_what_another_one_beats_is_no_tier(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await configure(box, {"local": 0.9, "chat": 0.6}, strong_share=1.0)
        placed, why = await ask(box, HARD)
        assert (placed, why) == ("local", "tiered:w only"), "the dear one is worse as well"
        assert not await configure(box, {"local": 0.6, "chat": 0.9}, strong_share=1.0)
        assert (await ask(box, EASY))[0] == "chat"
        floor = box.config["workloads"] | {"w": workload(strong_share=0.0)["w"] | {"quality_min": 0.8}}
        config = box.config | {"workloads": floor}
        for name, quality in (("local", 0.6), ("chat", 0.9)):
            config["deployments"] = config["deployments"] | {name: config["deployments"][name] | {"quality": quality}}
        assert not await box.configure(config)
        assert (await ask(box, EASY))[0] == "chat", "the cheap one is below the floor"


async def test_contradictions_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "text.head").write_text("no head")
    async with running(tmp_path / "state") as box:
        assert "only one of them" in await configure(box, strong_share=0.3, loss_share_max=0.1)
        assert "fall from tier to tier" in await configure(box, strong_share=[0.2, 0.5])
        assert "no head" in await configure(box, head=str(tmp_path / "text.head"))
        assert "cannot be used" in await configure(box, head=str(tmp_path / "missing.head"))
        stranger = head_file(tmp_path / "stranger.head", [(EASY, 0)] * 3, ("a", "b"))
        assert "no deployment" in await configure(box, head=stranger)
