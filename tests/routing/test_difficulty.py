"""What makes a question hard: the same for the same question in other clothes, bounds that hold, heads that learn."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.cli.main import main
from signalbox.core.errors import ConfigError
from signalbox.core.tiering import DENSE_COUNT, FEATURES_VERSION, Head, Judged, read_head, write_head
from signalbox.routing.difficulty.bounds import ROWS_MIN, is_below, safe_score
from signalbox.routing.difficulty.features import DENSE, Asked, features
from signalbox.routing.difficulty.normalise import HEAD_CHARS, TAIL_CHARS, normalise
from signalbox.routing.difficulty.question import asked, goes_on
from signalbox.routing.difficulty.rows import evenly, read
from signalbox.routing.difficulty.scorer import Scorer, rank_of
from signalbox.routing.difficulty.shipped import shipped
from signalbox.routing.standing import CORRECTION_MAX, Recent
from signalbox.routing.standing import ROWS_MIN as RECENT_MIN

SCORER = Scorer(shipped())
QUESTION = "Which of 12 boxes holds 3/4 of the red marbles if each box but one is full?"


@pytest.mark.parametrize(
    "clothes",
    [
        QUESTION.upper(),
        QUESTION.replace(" ", "  \n"),
        f"Hi there! {QUESTION}",
        f"Hello,\n\n{QUESTION}",
        f"Good morning. Please {QUESTION}",
        f"{QUESTION} Thanks a lot!",
        f"{QUESTION}\n\nThank you very much in advance.\nBest regards",
        f"Dear team, {QUESTION} please",
    ],
)
def test_the_same_question_in_other_clothes_is_the_same_question(clothes: str) -> None:
    assert features(Asked(clothes)) == features(Asked(QUESTION))


@pytest.mark.parametrize("text", ["Hello!", "thanks", "Thank you so much", "hi there, good morning!", " \n "])
def test_nothing_is_left_of_pleasantries(text: str) -> None:
    assert normalise(text)[0] == ""


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300) | st.text(alphabet=" hithanks,.!?\u212b\u0130\ufb01", max_size=200))
def test_any_text_has_bounded_features_and_a_score(text: str) -> None:
    found = features(Asked(text * 20))
    assert len(found.text) <= HEAD_CHARS + TAIL_CHARS + 1
    assert len(found.dense) == len(DENSE)
    assert -100 < SCORER.score(found) < 100


def test_what_stands_around_the_last_words_counts_as_shape_only() -> None:
    doc: dict[str, Any] = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "First."},
            {"role": "assistant", "content": "Answer."},
            {"role": "user", "content": [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {}}]},
            {"role": "tool", "content": "result"},
        ],
        "tools": [{}, {}],
        "response_format": {"type": "json_object"},
    }
    assert asked(doc) == Asked(QUESTION, system_chars=9, turns=5, tools=2, json_output=True)
    assert goes_on(doc)
    assert asked({"input": QUESTION}) == asked({"prompt": QUESTION}) == Asked(QUESTION)
    assert asked({"system": "Be brief.", "messages": [{"role": "user", "content": QUESTION}]}).system_chars == 9
    for odd in ({}, {"messages": 3}, {"messages": [None, {"role": 1, "content": {}}]}, {"input": [1, 2]}):
        assert asked(odd).text == ""


def test_the_bound_is_clopper_and_pearsons() -> None:
    # No loss in n rows: 1 - delta ** (1 / n); the other one from tables of the beta distribution.
    none = 1 - 0.1 ** (1 / 45)
    assert is_below(0, 45, none + 1e-6, 0.1)
    assert not is_below(0, 45, none - 1e-6, 0.1)
    assert is_below(3, 50, 0.1479, 0.05)
    assert not is_below(3, 50, 0.1478, 0.05)
    assert not is_below(50, 50, 0.99, 0.1)


@given(st.integers(0, 2**32), st.integers(ROWS_MIN, 200), st.floats(0, 0.5))
@settings(max_examples=50, deadline=None)
def test_what_is_kept_is_within_the_bound_on_its_own_rows(seed: int, rows: int, losing: float) -> None:
    drawn = random.Random(seed)
    judged = [Judged(float(drawn.randrange(40)), int(drawn.random() < losing)) for _ in range(rows)]
    upto = safe_score(judged, 0, 0.1, 0.1)
    if upto is not None:
        lost = sum(one.lost for one in judged if one.score <= upto)
        assert is_below(lost, len(judged), 0.1, 0.1)
    assert safe_score(judged[: ROWS_MIN - 1], 0, 0.5, 0.5) is None


def test_the_promise_holds_for_new_rows_about_as_often_as_it_says() -> None:
    """Losses grow with the score; the promise of 90 % is broken in a tenth of draws or less, give or take the luck of
    a hundred draws."""
    drawn = random.Random(3)

    def row() -> Judged:
        score = drawn.random()
        return Judged(score, int(drawn.random() < 0.3 * score))

    broken = 0
    for _ in range(100):
        upto = safe_score([row() for _ in range(200)], 0, 0.05, 0.1)
        # Kept up to s, the share lost of all calls is the integral of 0.3 x from 0 to s.
        broken += upto is not None and 0.15 * upto**2 > 0.05
    assert broken <= 20


def test_a_head_of_other_features_is_refused() -> None:
    head = shipped()
    assert len(head.dense) == len(DENSE) == DENSE_COUNT
    for other in (
        msgspec.structs.replace(head, features=FEATURES_VERSION + 1),
        msgspec.structs.replace(head, dense=head.dense[1:]),
    ):
        with pytest.raises(ValueError, match="another version"):
            read_head(write_head(other))


def test_ranks_rise_with_scores() -> None:
    ranks = shipped().ranks
    at = [rank_of(score, ranks) for score in (-99.0, *ranks, 99.0)]
    assert all(before <= after for before, after in pairwise(at))
    assert (at[0], at[-1]) == (0.0, 1.0)


def test_recent_scores_take_over_and_drift_is_noticed() -> None:
    head = shipped()
    usual, other = Recent(head), Recent(head)
    drawn = random.Random(5)
    for _ in range(RECENT_MIN + 50):
        usual.take(head.ranks[drawn.randrange(101)])
        other.take(head.ranks[drawn.randrange(90, 101)])
    assert not usual.drifted
    assert other.drifted
    assert other.rank(head.ranks[91]) < 0.3 < rank_of(head.ranks[91], head.ranks)


# --- learning ---


def labelled(path: Path, count: int = 400, **more: Any) -> Path:
    """Questions with numbers are beyond the cheap model, most others are not."""
    drawn = random.Random(1)
    lines: list[str] = []
    for number in range(count):
        hard = drawn.random() < 0.4
        words = " ".join(drawn.choice(("red", "tree", "house", "river", "song", "cloud", "stone")) for _ in range(9))
        text = f"Compute {drawn.randrange(99)} times {drawn.randrange(99)} {words}" if hard else f"Describe the {words}"
        weak = float(drawn.random() < (0.2 if hard else 0.98))
        row = {"prompt": f"{text} {number}", "outcomes": {"mini": weak, "big": 1.0}, **more}
        lines.append(json.dumps(row))
    path.write_text("\n".join(lines) + "\n")
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["router", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_head_learns_and_says_what_may_stay_cheap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = labelled(tmp_path / "rows.jsonl"), tmp_path / "mini.head"
    fit = told(capsys, "fit", str(rows), "--out", str(out))
    assert fit["tiers"] == ["mini", "big"]
    assert fit["made"]["apgr_own"] > 0.7
    assert fit["made"]["rows_fit"] + fit["made"]["rows_cal"] == fit["rows"] == 400
    assert 0.3 < fit["kept"]["mini"] < 0.8, "about those that are easy"
    head = read_head(out.read_bytes())
    assert head.id == fit["head"]
    worth = told(capsys, "eval", str(rows), "--head", str(out))
    assert worth["apgr"] > 0.7
    assert worth["apgr_low"] <= worth["apgr"] <= worth["apgr_high"]
    assert told(capsys, "eval", str(rows), "--tiers", "mini,big")["rows"] == worth["rows"]


def test_a_question_is_explained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Input:
        buffer = (tmp_path / "question").open("w+b")

    Input.buffer.write(QUESTION.encode())
    Input.buffer.seek(0)
    monkeypatch.setattr("sys.stdin", Input)
    explained = told(capsys, "explain")
    assert 0 <= explained["difficulty"] <= 1
    assert explained["pushes"][0]["by"] != 0
    Input.buffer.close()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "truncated"),
        ('{"prompt": "x"}', "outcomes"),
        ('{"outcomes": {"a": 1, "b": 0}}', "either `prompt` or `request`"),
        ('{"prompt": "x", "outcomes": {"a": 1}}', "two deployments"),
        ('{"prompt": "x", "outcomes": {"a": 2, "b": 0}}', "<= 1"),
        ('{"prompt": "x", "outcomes": {"a": 1, "b": 0}, "propensity": 0}', "> 0"),
        ('{"prompt": "x", "outcomes": {"a": 1, "b": 0}, "split": "test"}', "fit or cal"),
        ('{"prompt": "x", "outcomes": {"a": 1, "b": 0}, "subject": "law"}', "subject"),
    ],
)
def test_rows_that_say_nothing_are_told_by_line(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(f"\n{line}\n")
    with pytest.raises(ConfigError, match=complaint) as told_:
        read(path)
    assert ":2: " in str(told_.value)


def test_nothing_to_learn_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = labelled(tmp_path / "few.jsonl", 12)
    assert main(["router", "fit", str(rows), "--out", str(tmp_path / "x")]) == 2
    assert "nothing can be learnt" in capsys.readouterr().err
    assert main(["router", "fit", str(tmp_path / "missing"), "--out", str(tmp_path / "x")]) == 2
    assert not (tmp_path / "x").exists()


def test_rows_drawn_unevenly_prove_evenly(tmp_path: Path) -> None:
    often, seldom = labelled(tmp_path / "a", 300, propensity=0.5), labelled(tmp_path / "b", 300, propensity=0.1)
    rows = [row for path in (often, seldom) for row in read(path)[1]]
    kept = evenly(rows)
    rare = sum(row.propensity == 0.1 for row in kept)
    assert rare == 300
    assert 30 <= len(kept) - rare <= 90, "a fifth of those that were five times as likely"


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_a_budget_is_kept_although_scores_are_not_what_they_were(share: float) -> None:
    """The head says that scores are even; these are not, and there are too few to know yet."""
    recent, chance = Recent(with_ranks(tuple(at / 100 for at in range(101)))), random.Random(5)
    strong = 0
    for _ in range(280):
        (least,) = recent.thresholds((share,))
        place = int(recent.rank(chance.random() ** 1.5) > least)
        recent.book((share,), place)
        strong += place
    assert abs(strong / 280 - share) <= 0.05


def test_each_step_of_a_budget_is_held_by_itself() -> None:
    recent, chance, shares = Recent(with_ranks(tuple(at / 100 for at in range(101)))), random.Random(6), (0.6, 0.2)
    above = [0, 0]
    for _ in range(1000):
        rank = recent.rank(chance.random() ** 2)
        place = sum(rank > least for least in recent.thresholds(shares))
        recent.book(shares, place)
        above = [count + (place > step) for step, count in enumerate(above)]
    assert [count / 1000 for count in above] == pytest.approx(shares, abs=0.03)
    # Whatever happened, a threshold moves by so much and no further.
    for _ in range(1000):
        recent.book(shares, 0)
    assert recent.thresholds(shares) == pytest.approx([0.4 - CORRECTION_MAX, 0.8 - CORRECTION_MAX])


def with_ranks(ranks: tuple[float, ...]) -> Head:
    return msgspec.structs.replace(shipped(), ranks=ranks)
