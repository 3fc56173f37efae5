"""What a classifier finds, what it remembers, and what it never loses on the way."""

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signalbox.bootstrap.compiling import compile_text
from signalbox.config.load import load
from signalbox.core.call import Call, Principal
from signalbox.core.errors import NoPermittedPlacement
from signalbox.core.labels import NONE, labels_of
from signalbox.core.snapshot import Classify, CustomClass, Snapshot
from signalbox.policy.check import check
from signalbox.policy.classify import LARGE_BYTES, MEMO_MAX, Classifier
from signalbox.policy.contents import STEP_CHARS
from signalbox.policy.interlock import Interlock
from signalbox.policy.sticky import Conversations
from signalbox.wire.table import DIALECTS

CARD = "4111 1111 1111 1111"
TEXT = "the plan of our team says that people should meet on the second floor and talk about a new release"
WORDS = TEXT.split()
CONFIG = b"""
environments: {us: {kind: cloud, region: us}, home: {kind: on-prem, region: eu}}
deployments:
  cloud: {environment: us, preset: openai, model: a, base_url: "http://127.0.0.1:1/v1", allow_private: true}
  home: {environment: home, preset: vllm, model: b, base_url: "http://127.0.0.1:2/v1", allow_private: true}
workloads:
  w: {}
  off: {classify: {detectors: off}}
  some: {classify: {detectors: [email]}}
  own:
    classify:
      custom:
        falcon: {words: [Blue Falcon, "\xe6\x9c\xba\xe5\xaf\x86\xe8\xae\xa1\xe5\x88\x92"], label: legal}
        numbers: {pattern: "PRJ-[0-9]{4}", label: internal}
rules:
  - {id: cards, when: {data: [pci]}, allow: {kind: [on-prem]}}
"""


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return compile_text(CONFIG, "signalbox.yaml", 1).snapshot


@pytest.fixture
def classifier(tmp_path: Path, snapshot: Snapshot) -> Iterator[Classifier]:
    conversations = Conversations(tmp_path / "conversations", b"k" * 32)
    made = Classifier(conversations, b"k" * 32, lambda: 1_700_000_000_000)
    made.adopt(snapshot)
    yield made
    conversations.close()


def call(snapshot: Snapshot, doc: dict[str, Any], workload: str = "w", api: str = "chat", **more: Any) -> Call:
    doc = {"model": workload, **doc}
    return Call(
        id="c",
        api=api,
        snapshot=snapshot,
        principal=Principal("k", "t", "team", None, frozenset()),
        body=json.dumps(doc).encode(),
        doc=doc,
        envelope=DIALECTS[api].envelope(doc),
        model=workload,
        workload=snapshot.workloads[workload],
        pinned=None,
        data_header=more.pop("data_header", NONE),
        headers=[],
        query=b"",
        received_ns=0,
        auth_ns=0,
        **more,
    )


def says(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[n % 2], "content": text} for n, text in enumerate(texts)]}


def prose(chars: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(chars // 5))[:chars]


def names(classifier: Classifier, one: Call) -> set[str]:
    return set(classifier.classify_now(one).labels.names())


def test_counts_say_where_labels_came_from(classifier: Classifier, snapshot: Snapshot) -> None:
    body = says(f"Card {CARD}, mail a.b@example.org and c.d@example.org", "Fine.", f"Again: {CARD}")
    found = classifier.classify_now(call(snapshot, body, data_header=labels_of(["legal"])))
    assert found.found == {"cards/visa": 2, "email/email": 2, "header": 1}
    assert {"restricted", "pci", "personal", "legal"} <= set(found.labels.names())


def test_ordinary_text_raises_nothing(classifier: Classifier, snapshot: Snapshot) -> None:
    found = classifier.classify_now(call(snapshot, says(prose(2000, 1), prose(500, 2), prose(300, 3))))
    assert (found.labels, found.found) == (NONE, {})


@pytest.mark.parametrize("at", [*range(0, 3), *range(STEP_CHARS - 2200, STEP_CHARS + 60, 97), 60_000, 99_980])
def test_long_texts_hide_nothing_at_any_place(classifier: Classifier, snapshot: Snapshot, at: int) -> None:
    text = prose(100_000, 7)
    found = classifier.classify_now(call(snapshot, says(f"{text[:at]} {CARD} {text[at:]}")))
    assert found.found == {"cards/visa": 1}


async def test_large_bodies_are_read_while_others_are_served(classifier: Classifier, snapshot: Snapshot) -> None:
    served = 0

    async def other() -> None:
        nonlocal served
        while True:
            await asyncio.sleep(0)
            served += 1

    task = asyncio.get_running_loop().create_task(other())
    one = call(snapshot, says(*(prose(20_000, n) for n in range(20)), f"{prose(9000, 99)} {CARD}"))
    assert len(one.body) > LARGE_BYTES
    found = await classifier.classify(one)
    task.cancel()
    assert found.found == {"cards/visa": 1}
    assert served >= 20
    assert classifier.classify_now(one).labels == found.labels


def test_what_was_read_before_says_the_same_and_longer_histories_too(
    classifier: Classifier, snapshot: Snapshot
) -> None:
    turns = [f"My card: {CARD}", "Noted.", "And a.b@example.org is my mail."]
    for size in (1, 2, 3, 3, 2, 1):
        fresh = Classifier(None, b"x" * 32, lambda: 0)
        one = call(snapshot, says(*turns[:size]))
        found = {kind: count for kind, count in classifier.classify_now(one).found.items() if kind != "conversation"}
        assert found == fresh.classify_now(one).found


def test_memory_is_bounded_and_forgetting_changes_nothing(classifier: Classifier, snapshot: Snapshot) -> None:
    first = call(snapshot, says(f"My card: {CARD}"))
    assert "pci" in names(classifier, first)
    for n in range(0, MEMO_MAX + 100, 500):
        embedded = {"input": [f"text {m}" for m in range(n, n + 500)]}
        classifier.classify_now(call(snapshot, embedded, api="embeddings"))
    assert len(classifier._young) + len(classifier._old) <= MEMO_MAX  # pyright: ignore[reportPrivateUsage]
    assert "pci" in names(classifier, first)


def test_split_text_is_found(classifier: Classifier, snapshot: Snapshot) -> None:
    apart = [{"type": "text", "text": piece} for piece in ("Card 4111 11", "11 1111 ", "1111")]
    assert "pci" in names(classifier, call(snapshot, {"messages": [{"role": "user", "content": apart}]}))
    assert "pci" in names(classifier, call(snapshot, says("Card 4111 1111 ", "Go on.", "1111 1111")))
    assert names(classifier, call(snapshot, says("The card 4111 1111 ", "1111 1111"))) == {"public"}, "two speakers"


def test_workloads_look_as_they_were_told(classifier: Classifier, snapshot: Snapshot) -> None:
    text = f"Card {CARD}, mail a.b@example.org, Blue  falcon, PRJ-2291"
    assert names(classifier, call(snapshot, says(text), "off")) == {"public"}
    assert names(classifier, call(snapshot, says(text), "some")) == {"confidential", "personal"}
    own = classifier.classify_now(call(snapshot, says(text), "own"))
    assert own.found == {"cards/visa": 1, "email/email": 1, "custom/falcon": 1, "custom/numbers": 1}
    assert "legal" in names(classifier, call(snapshot, says("关于机密计划的消息"), "own"))
    assert "legal" not in names(classifier, call(snapshot, says("blue falconry, PRJ-1"), "own"))
    assert names(classifier, call(snapshot, says(text), "off")) == {"public"}, "what others saw does not count here"


def test_own_words_never_take_the_place_of_a_built_in_finding(classifier: Classifier) -> None:
    declared = Classify(None, (CustomClass("numbers", "internal", pattern=r"4111[ 0-9]+"),))
    tags = {found.tag for found in classifier.profile(declared).scan(f"Card {CARD} today")}
    assert tags == {"pci", "internal"}


def test_a_large_dictionary_costs_little(classifier: Classifier) -> None:
    rng = random.Random(1)
    phrases = tuple(f"{''.join(rng.choices('abcdefghij', k=9))} {n}" for n in range(4_000))
    scan = classifier.profile(Classify((), (CustomClass("d", "legal", words=phrases),))).scan
    assert [found.kind for found in scan(f"{prose(4000, 1)} {phrases[17]} {prose(400, 2)}")] == ["d"]


class Translated:
    """A call that goes to another protocol with a body that holds more than what was classified."""

    chat = says("Hello.")
    body = json.dumps({"model": "a", "messages": [{"role": "user", "content": f"Card {CARD}"}]}).encode()


def test_a_translation_is_judged_by_what_it_says(classifier: Classifier, snapshot: Snapshot) -> None:
    interlock = Interlock(snapshot, classifier)
    one = call(snapshot, Translated.chat, sessions=("s",))
    classified = classifier.classify_now(one)
    one.labels, one.found = classified.labels, classified.found
    cloud, home = (snapshot.deployment_by_name[name] for name in ("cloud", "home"))
    assert interlock.permit(one, cloud, "a-1", "chat", one.body).labels == NONE
    with pytest.raises(NoPermittedPlacement):
        interlock.permit(one, cloud, "a-1", "messages", Translated.body)
    assert "pci" in interlock.permit(one, home, "a-1", "messages", Translated.body).labels.names()
    later = call(snapshot, says("Go on."), sessions=("s",))
    assert "pci" in names(classifier, later), "and its conversation keeps it"


def test_detection_that_is_off_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "signalbox.yaml"
    path.write_bytes(CONFIG)
    declared = load(path)
    told = [finding.message for finding in check(declared, compile_text(CONFIG, "x", 1).snapshot)]
    assert any("'off' looks for nothing" in message for message in told)
    assert any("'some' looks with email only" in message for message in told)
    assert not any("'w' looks" in message or "'own' looks" in message for message in told)


SYSTEM = {"role": "system", "content": f"Card {CARD}"}
ONCE = [
    ({"messages": [SYSTEM, {"role": "user", "content": f"Card {CARD}"}]}, {}),
    ({"messages": [SYSTEM, {"role": ["user"], "content": "x"}]}, {}),
    ({"messages": [{"content": "x"}]}, {}),
    (says("one", "two", "three"), {}),
    (says("one"), {"data_header": labels_of(["phi"])}),
    (says("one"), {"sessions": ("raised",)}),
    ({**says("one"), "conversation": "raised"}, {}),
    ({**says("one"), "prompt": f"Card {CARD}"}, {}),
]


@pytest.mark.parametrize(("doc", "more"), ONCE)
@pytest.mark.parametrize("workload", ["w", "off", "some"])
async def test_at_once_is_what_the_long_way_says(
    classifier: Classifier, snapshot: Snapshot, doc: dict[str, Any], more: dict[str, Any], workload: str
) -> None:
    """Whatever is not looked at, because nothing of it can count, is what a look would not have changed."""
    raised = labels_of(["phi"])
    classifier.classify_now(call(snapshot, says("raised"), workload, data_header=raised, sessions=("raised",)))
    classifier.classify_now(call(snapshot, says("one"), workload, data_header=raised))
    assert classifier.at_once(call(snapshot, doc, workload, **more)) == classifier.classify_now(
        call(snapshot, doc, workload, **more)
    )
