"""Names of questions: equal exactly where nothing that matters differs. 100,000 random pairs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from signalbox.cache import question, scope
from signalbox.core.caching import Caching
from signalbox.core.call import Call, Envelope, ForWhom, Principal
from signalbox.core.labels import NONE, Labels
from signalbox.core.snapshot import Deployment, Environment, Retries, Workload

SECRET = b"s" * 32
PAIRS = 100_000
NOT_READ: dict[str, list[Any]] = {
    "user": ["u1", "u2"], "metadata": [{"a": "1"}, {"a": "2"}], "prompt_cache_key": ["k", "l"]
}  # fmt: skip
READ: dict[str, list[Any]] = {
    "messages": [
        [{"role": "user", "content": "q"}],
        [{"role": "user", "content": "Q"}],
        [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}],
        [{"role": "system", "content": "t"}, {"role": "user", "content": "q"}],
    ],
    "tools": [None, [{"type": "function", "function": {"name": "f"}}], [{"type": "custom", "name": "f"}]],
    "response_format": [None, {"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "x"}}],
    "temperature": [None, 0, 0.1, 1],
    "store": [True, False],
    "top_p": [None, 0.5],
    "seed": [None, 1, 2],
    "max_tokens": [None, 10, 11],
    "stream": [None, True],
    "stop": [None, ["a"], "a"],
}
OTHERWISE: dict[str, list[Any]] = {
    "api": ["chat", "responses", "messages"],
    "tenant": ["t1", "t2"],
    "team": ["a", "b", ""],
    "key": ["k1", "k2", "k3"],
    "person": ["p1", "p2", ""],
    "workload": ["w1", "w2"],
    "about": ["x", "y"],
    "pinned": [None, "d1", "d2"],
    "labels": [NONE, Labels(1), Labels(1, 4)],
    "corpus": [None, b"1", b"2"],
    "beta": [None, b"feature-a"],
    "query": [b"", b"beta=true"],
    "models": [None, frozenset({"m"})],
    "floor": [NONE, Labels(1)],
}
SHARES = ("user", "key", "team", "tenant")


def drawn(chance: random.Random, fields: dict[str, list[Any]]) -> dict[str, Any]:
    return {name: chance.choice(values) for name, values in fields.items()}


def altered(chance: random.Random, facts: dict[str, Any], fields: dict[str, list[Any]]) -> dict[str, Any]:
    """The same with some facts drawn anew, often to what they were."""
    fresh = dict(facts)
    for name in chance.sample(sorted(fields), chance.randint(0, 2)):
        fresh[name] = chance.choice(fields[name])
    return fresh


def deployment(name: str) -> Deployment:
    place = Environment("e", "cloud", "us", "us", "o", "us", ())
    return Deployment(0, name, place, "openai", "m", (), None, frozenset({"chat"}))


def workload(name: str) -> Workload:
    return Workload(name, NONE, frozenset(), (), "fixed", Retries(), NONE)


PINNED = {None: None, "d1": deployment("d1"), "d2": deployment("d2")}
WORKLOADS = {name: workload(name) for name in ("w1", "w2")}
CACHINGS = {(share, about): Caching(exact_ttl_s=1, share=share, about=about) for share in SHARES for about in "xy"}


def key_of(facts: dict[str, Any], body: dict[str, Any], share: str) -> bytes:
    principal = Principal(
        facts["key"], facts["tenant"], facts["team"], None, frozenset(), labels=facts["floor"], models=facts["models"]
    )
    headers = [(b"x-signalbox-cache-scope", facts["corpus"]), (b"anthropic-beta", facts["beta"])]
    call = Call(
        id="r", api=facts["api"], snapshot=None, principal=principal, body=b"",  # type: ignore[arg-type]
        doc={name: value for name, value in body.items() if value is not None},
        envelope=Envelope(stream=bool(body["stream"])), model="m", workload=WORKLOADS[facts["workload"]],
        pinned=PINNED[facts["pinned"]], data_header=NONE,
        headers=[(name, value) for name, value in headers if value is not None], query=facts["query"], received_ns=0,
        auth_ns=0, for_whom=ForWhom(facts["person"]),
    )  # fmt: skip
    call.labels = facts["labels"]
    named = scope.name(call, CACHINGS[share, facts["about"]], SECRET)
    assert isinstance(named, scope.Name)
    assert named.key != named.seal
    return named.key


# Whose facts count, by how widely answers are shared.
WHOSE = {
    "user": ("tenant", "key", "person"),
    "key": ("tenant", "key"),
    "team": ("tenant", "team", "models", "floor"),
    "tenant": ("tenant", "models", "floor"),
}
ALWAYS = ("api", "workload", "about", "pinned", "labels", "corpus", "beta", "query")


def test_no_question_is_answered_across_its_scope() -> None:
    """A walk: each step alters a little, now and then everything; each step and the one before it are a pair."""
    chance = random.Random(20261121)
    equal = different = 0
    for share in SHARES:
        facts, read, unread = drawn(chance, OTHERWISE), drawn(chance, READ), drawn(chance, NOT_READ)
        key = key_of(facts, {**read, **unread}, share)
        for _ in range(PAIRS // len(SHARES)):
            before, read_before, key_before = facts, read, key
            facts, read = altered(chance, facts, OTHERWISE), altered(chance, read, READ)
            unread = altered(chance, unread, NOT_READ)
            key = key_of(facts, {**unread, **read}, share)
            same = all(facts[name] == before[name] for name in (*WHOSE[share], *ALWAYS)) and all(
                read[name] is read_before[name] or repr(read[name]) == repr(read_before[name]) for name in READ
            )
            assert (key == key_before) is same, (share, before, facts, read_before, read)
            equal += same
            different += not same
    assert equal > PAIRS / 20
    assert different > PAIRS / 2


@pytest.mark.parametrize(
    ("api", "said", "means"), [("chat", None, False), ("responses", None, True), ("messages", None, False)]
)
def test_silence_about_what_a_provider_keeps_is_its_default(api: str, said: object, means: bool) -> None:
    facts = {**{name: values[0] for name, values in OTHERWISE.items()}, "api": api}
    body = {name: values[0] for name, values in READ.items()}
    silent, other, same = (key_of(facts, {**body, "store": value}, "key") for value in (said, not means, means))
    assert silent == same != other


@pytest.mark.parametrize(
    ("text", "now"),
    [
        ("What is the weather like", True),
        ("WHAT TIME IS IT", True),
        ("Şu an saat kaç", True),
        ("ŞİMDİ NE YAPMALI", True),
        ("ПОГОДА в Осло", True),
        ("x " * 5000 + "today?", True),
        ("How do I knit a scarf", False),
        ("A snow globe", False),
    ],
)
def test_questions_about_now_are_known_in_any_letters(text: str, now: bool) -> None:
    assert question.about_now({"messages": [{"role": "user", "content": text}]}) is now
