"""Questions compared by meaning: neighbours that a head relies on as far as rows prove it, and calls by them."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from harness import Box, running
from signalbox.bootstrap.compiling import explainer_for
from signalbox.cli.main import main
from signalbox.config.load import load_text
from signalbox.control.explain import Question
from signalbox.core.choosing import read_scorer, write_scorer
from signalbox.core.errors import ConfigError
from signalbox.core.tiering import read_head, write_head
from signalbox.embedding import encoding
from signalbox.embedding.hashed import HashedEncoder
from signalbox.routing.answer_rows import Row, learn
from signalbox.routing.difficulty import fit_near
from signalbox.routing.difficulty.features import Asked, features
from signalbox.routing.difficulty.fit import fit_head
from signalbox.routing.difficulty.labels import LabelBook
from signalbox.routing.difficulty.rows import encoded, read
from signalbox.routing.difficulty.scorer import Scorer

PAIR = ("local", "chat")
# Of one length, so that nothing but the word tells them apart.
TOPICS = ("invoice", "harvest", "concert", "glacier", "cabinet", "biscuit", "monitor", "cricket")


def rows(path: Path, count: int = 300, *, known: bool = True) -> Path:
    """Of each topic questions are either hard or not. known: outcomes follow the topic, otherwise the number's parity,
    which no neighbour knows."""
    drawn = random.Random(5)
    lines: list[str] = []
    for number in range(count):
        topic = drawn.randrange(len(TOPICS))
        filler = " ".join(drawn.choice(("old", "new", "small", "great", "blue", "long")) for _ in range(3))
        hard = topic % 2 == 0 if known else number % 2 == 0
        weak = float(drawn.random() < (0.15 if hard else 0.95))
        prompt = f"Tell me about the {TOPICS[topic]}, the {filler} {TOPICS[topic]} of place {number}"
        lines.append(json.dumps({"prompt": prompt, "outcomes": {"local": weak, "chat": 1.0}}))
    path.write_text("\n".join(lines) + "\n")
    return path


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["router", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@cache
def made() -> bytes:
    """A head that relies on its neighbours, whatever its fit would have thought of them."""
    with tempfile.TemporaryDirectory() as folder:
        _, labelled = read(rows(Path(folder) / "rows.jsonl"))
    labelled = encoded(labelled, HashedEncoder())
    head = fit_head(PAIR, labelled, encoder="hashed-1")
    if head.near is None:
        gain = np.array([row.outcomes[1] - row.outcomes[0] for row in labelled])
        known = fit_near.Meanings([row.vector for row in labelled])
        near, _, _ = fit_near.choose(known, [np.zeros(len(gain))], 1 - gain, gain, "hashed-1")
        head = msgspec.structs.replace(head, near=near)
    return write_head(head)


def fitted(folder: Path) -> Path:
    (folder / "near.head").write_bytes(made())
    return folder / "near.head"


# --- what a fit makes of neighbours ---


def meanings(vectors: Any) -> Any:
    return fit_near.Meanings(list(vectors))


def unit(values: Any) -> Any:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def world(seed: int, count: int = 400) -> tuple[Any, Any]:
    """Vectors around eight points, and a gain that each point has more or less of."""
    chance = np.random.default_rng(seed)
    points = chance.normal(size=(8, 32))
    which = chance.integers(0, 8, count)
    gain = (chance.random(count) < np.where(which % 2 == 0, 0.7, 0.1)).astype(float)
    return unit(points[which] + 0.3 * chance.normal(size=(count, 32))).astype("float32"), gain


def test_where_wording_tells_nothing_the_neighbours_decide_alone() -> None:
    vectors, gain = world(1)
    noise = np.random.default_rng(2).normal(size=len(gain))
    near, both, made = fit_near.choose(meanings(vectors), [noise], 1 - gain, gain, "e")
    assert near is not None
    assert near.share == made["near_share"] >= 0.9
    assert made["apgr_near"] > 0.6
    assert len(both) == len(gain)


def test_where_neighbours_tell_nothing_the_wording_decides_nearly_alone() -> None:
    vectors, gain = world(1)
    vectors = unit(np.random.default_rng(3).normal(size=vectors.shape)).astype("float32")
    wording = gain + 0.3 * np.random.default_rng(4).normal(size=len(gain))
    near, both, made = fit_near.choose(meanings(vectors), [wording], 1 - gain, gain, "e")
    assert made["near_share"] <= 0.3
    assert (near is None) == (made["near_share"] == 0)
    assert np.corrcoef(both, wording)[0, 1] > 0.9


def test_near_duplicates_tell_nothing_about_each_other() -> None:
    chance = np.random.default_rng(6)
    vectors = np.repeat(unit(chance.normal(size=(100, 64))), 3, axis=0).astype("float32")
    gain = np.repeat(chance.integers(0, 2, 100), 3).astype(float)
    found = meanings(vectors)
    assert len(set(found.groups.tolist())) == 100
    folds = found.folds(5, 0)
    assert all(len(set(folds[found.groups == group].tolist())) == 1 for group in range(100))
    assert abs(np.corrcoef(found.left_out(gain), gain)[0, 1]) < 0.4, "its own answer is not among its neighbours"


def test_a_head_scores_what_its_fit_measured(tmp_path: Path) -> None:
    vectors, gain = world(1)
    noise = np.random.default_rng(2).normal(size=len(gain))
    near, _, _ = fit_near.choose(meanings(vectors), [noise], 1 - gain, gain, "e")
    head = read_head(fitted(tmp_path).read_bytes())
    scorer = Scorer(msgspec.structs.replace(head, near=near))
    others, other_gain = world(1, 700)
    scores = np.array([scorer.score(msgspec.structs.replace(features(Asked("x")), vector=one)) for one in others[400:]])
    assert np.corrcoef(scores, other_gain[400:])[0, 1] > 0.4
    explained = dict(scorer.contributions(msgspec.structs.replace(features(Asked("x")), vector=others[0])))
    assert "neighbours" in explained
    assert "neighbours" not in dict(scorer.contributions(features(Asked("x"))))


@pytest.mark.parametrize(
    "change",
    [
        {"vectors": b"1234"},
        {"gains": b""},
        {"nearest": 0},
        {"nearest": 100_000},
        {"share": 0.0},
        {"share": 1.5},
        {"dimensions": 0},
        {"linear": (0.0, 0.0)},
        {"near": (float("nan"), 1.0)},
    ],
)
def test_a_head_with_broken_rows_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    head = read_head(fitted(tmp_path).read_bytes())
    assert head.near is not None
    broken = msgspec.structs.replace(head, near=msgspec.structs.replace(head.near, **change))
    with pytest.raises(ValueError, match="damaged"):
        read_head(write_head(broken))


# --- the words of `signalbox router` ---


def test_a_head_says_what_it_compares_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = str(rows(tmp_path / "rows.jsonl", 220)), str(tmp_path / "own.head")
    assert told(capsys, "fit", data, "--out", out, "--encoder", "spelling", "--alone")["made"]["near_share"] >= 0
    out = str(fitted(tmp_path))
    worth = told(capsys, "eval", data, "--head", out, "--encoder", "spelling")
    assert worth["apgr"] > 0.6
    assert main(["router", "eval", data, "--head", out]) == 2
    assert "compares questions by hashed-1" in capsys.readouterr().err
    plain = tmp_path / "plain.head"
    assert told(capsys, "fit", data, "--out", str(plain))["encoder"] == ""
    assert read_head(plain.read_bytes()).near is None

    class Input:
        buffer = (tmp_path / "question").open("w+b")

    Input.buffer.write(b"Tell me about the invoice")
    Input.buffer.seek(0)
    monkeypatch.setattr("sys.stdin", Input)
    told_of = told(capsys, "explain", "--head", out, "--encoder", "spelling")
    assert "neighbours" in [push["feature"] for push in told_of["pushes"]]
    Input.buffer.close()
    few = rows(tmp_path / "few.jsonl", 60)
    assert main(["router", "fit", str(few), "--out", str(plain), "--encoder", "spelling"]) == 2
    assert "neighbours by meaning need 100" in capsys.readouterr().err
    assert main(["router", "fit", data, "--out", str(plain), "--encoder", str(tmp_path / "no-folder")]) == 2


def test_labels_keep_the_meaning_for_the_encoder_that_told_it(tmp_path: Path) -> None:
    book = LabelBook(tmp_path / "labels.db", b"p" * 32)
    vector = HashedEncoder().encode("what is the password of henrietta?")
    found = features(Asked("What is the password of Henrietta?"))
    book.add("w", PAIR, msgspec.structs.replace(found, vector=vector), (0.0, 1.0), 0.02, 1, "hashed-1")
    book.add("w", PAIR, found, (1.0, 1.0), 0.02, 2)
    (row,) = book.read("w", PAIR, "hashed-1")
    assert float(row.features().vector @ vector) > 0.999
    assert [one.vector for one in book.read("w", PAIR)] == [None, None]
    assert book.read("w", PAIR, "another") == []


# --- a whole installation ---


async def configure(box: Box, shadow: float = 0.0, **tiered: Any) -> None:
    deployments = {name: dict(one) for name, one in box.config["deployments"].items()}
    for name, price in {"local": 1, "chat": 20}.items():
        deployments[name]["price"] = {"input_mtok": price, "output_mtok": 4 * price}
    workload = {"placements": list(PAIR), "strategy": "tiered", "tiered": tiered}
    if shadow:
        workload["shadow"] = {"share": shadow}
    wanted = {"workloads": box.config["workloads"] | {"w": workload}, "deployments": deployments}
    found = await box.configure(box.config | wanted)
    if found:
        raise ConfigError([found])


async def ask(box: Box, text: str) -> tuple[str, str]:
    body = {"model": "w", "messages": [{"role": "user", "content": text}]}
    answer = await box.request("/v1/chat/completions", body)
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-placement"].partition("@")[0], answer.headers["x-signalbox-reason"]


async def test_calls_are_decided_by_what_their_like_gained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    head = str(fitted(tmp_path))
    id_ = read_head(Path(head).read_bytes()).id
    async with running(tmp_path / "state") as box:
        with pytest.raises(ConfigError, match="encoder: true"):
            await configure(box, head=head, strong_share=0.5)
        await configure(box, head=head, encoder=True, strong_share=0.5)
        hard, why = await ask(box, "Tell me about the invoice, the old blue invoice of place 7")
        assert hard == "chat"
        assert id_ in why
        easy, _ = await ask(box, "Tell me about the harvest, the new small harvest of place 8")
        assert easy == "local"
        # Under a bound that was proven with neighbours nobody stays cheap without them; a budget goes by the wording.
        monkeypatch.setattr(encoding, "WAITING_MAX", 0)
        assert id_ in (await ask(box, "Tell me about the harvest"))[1]
        await configure(box, head=head, encoder=True, loss_share_max=0.5)
        assert " unencoded " in (await ask(box, "Tell me about the harvest, the new one"))[1]


def test_explaining_compares_questions_too(tmp_path: Path) -> None:
    head = fitted(tmp_path)
    config = {
        "environments": {"dc": {"kind": "on-prem", "region": "eu/de"}},
        "deployments": {
            name: {"environment": "dc", "preset": "vllm", "base_url": "http://127.0.0.1:1/v1", "model": name}
            | {"price": {"input_mtok": price, "output_mtok": price}}
            for name, price in {"local": 1, "chat": 20}.items()
        },
        "workloads": {
            "w": {
                "placements": list(PAIR),
                "strategy": "tiered",
                "tiered": {"head": str(head), "encoder": True, "strong_share": 0.5},
            }
        },
    }
    explainer = explainer_for(load_text(json.dumps(config).encode(), "signalbox.yaml"))
    body = {"model": "w", "messages": [{"role": "user", "content": "Tell me about the invoice, the old invoice"}]}
    tier = explainer.explain(Question(msgspec.Raw(json.dumps(body).encode()))).tier
    assert tier is not None
    assert tier.deployment == "chat"
    assert "neighbours" in [push.feature for push in tier.pushes]


async def test_a_head_of_another_encoder_is_refused(tmp_path: Path) -> None:
    out = fitted(tmp_path)
    head = read_head(out.read_bytes())
    assert head.near is not None
    out.write_bytes(
        write_head(msgspec.structs.replace(head, near=msgspec.structs.replace(head.near, encoder="minilm-0")))
    )
    async with running(tmp_path / "state") as box:
        with pytest.raises(ConfigError, match="minilm-0"):
            await configure(box, head=str(out), encoder=True, strong_share=0.5)


async def test_the_shadow_slice_labels_meaning_for_a_head_to_come(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        await configure(box, shadow=1.0, encoder=True, strong_share=0.0)
        assert (await ask(box, "Tell me about the harvest"))[0] == "local"
        book = LabelBook(box.state.labels, box.state.pepper())
        for _ in range(500):
            labels = book.read("w", PAIR, "hashed-1")
            if labels:
                break
            await asyncio.sleep(0.02)
        assert labels
        assert float(labels[0].vector @ HashedEncoder().encode("tell me about the harvest")) > 0.999


# --- cascades ---


def judged_answers(count: int = 500) -> list[Row]:
    """The weak model knows four topics and not the others, and its answers all look alike."""
    drawn = random.Random(9)
    rows: list[Row] = []
    for number in range(count):
        topic = drawn.randrange(len(TOPICS))
        prompt = f"Tell me about the {TOPICS[topic]}, the {TOPICS[topic]} of place {100 + number}"
        good = drawn.random() < (0.05 if topic % 2 == 0 else 0.97)
        rows.append(Row(prompt=prompt, answer="It is what it is.", good=good))
    return rows


def test_a_scorer_learns_from_questions_what_answers_do_not_show() -> None:
    with_meaning = learn(judged_answers(), HashedEncoder())
    assert with_meaning.made["auc"] > 0.8 > learn(judged_answers()).made["auc"]
    assert read_scorer(write_scorer(with_meaning)) == with_meaning
    assert with_meaning.near is not None
    broken = msgspec.structs.replace(with_meaning.near, gains=b"")
    with pytest.raises(ValueError, match="by meaning"):
        read_scorer(write_scorer(msgspec.structs.replace(with_meaning, near=broken)))
    with pytest.raises(ValueError, match="neighbours by meaning need"):
        learn(judged_answers(80), HashedEncoder())


async def test_a_cascade_doubts_answers_to_questions_like_those_that_were_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scorer.json"
    file.write_bytes(write_scorer(learn(judged_answers(), HashedEncoder())))
    async with running(tmp_path / "state") as box:

        async def cascade(**more: Any) -> str:
            settings = {"scorer": str(file), "threshold": 0.5, "price_ratio_min": 0, **more}
            workload = {"placements": list(PAIR), "strategy": "cascade", "cascade": settings}
            return await box.configure(box.config | {"workloads": box.config["workloads"] | {"w": workload}})

        assert "encoder: true" in await cascade()
        assert not await cascade(encoder=True)
        assert (await ask(box, "Tell me about the harvest, the harvest of place 3"))[0] == "local"
        assert await ask(box, "Tell me about the invoice, the invoice of place 4") == ("chat", "cascade:w doubted")
        monkeypatch.setattr(encoding, "WAITING_MAX", 0)
        assert (await ask(box, "Tell me about the harvest, the harvest of place 5"))[0] == "chat"
