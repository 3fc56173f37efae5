"""That a translation stores nothing is seen in the bytes that leave before they get a permit."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from signalbox.bootstrap.compiling import compile_text
from signalbox.core.call import Call, Principal
from signalbox.core.errors import NoPermittedPlacement
from signalbox.core.labels import NONE, labels_of
from signalbox.policy.classify import Classifier
from signalbox.policy.interlock import Interlock
from signalbox.policy.sticky import Conversations
from signalbox.wire.table import DIALECTS

CONFIG = b"""
environments: {us: {kind: cloud, region: us}}
deployments:
  chat: {environment: us, protocol: openai, model: a, base_url: "http://a.test/v1", capabilities: {apis: [chat]}}
  both:
    {environment: us, protocol: openai, model: b, base_url: "http://a.test/v1", capabilities: {apis: [chat, responses]}}
workloads: {w: {data: [legal]}}
rules: [{id: not-onward, when: {data: [legal]}, allow: {kind: [cloud]}}]
"""
DOC = {"model": "w", "input": "Hello."}
PLAIN = b'{"model":"a","messages":[{"role":"user","content":"Hello."}]}'


@pytest.fixture
def interlock(tmp_path: Path) -> Iterator[Interlock]:
    snapshot = compile_text(CONFIG, "signalbox.yaml", 1).snapshot
    conversations = Conversations(tmp_path / "conversations", b"k" * 32)
    classifier = Classifier(conversations, b"k" * 32, lambda: 1_700_000_000_000)
    classifier.adopt(snapshot)
    yield Interlock(snapshot, classifier)
    conversations.close()


@pytest.fixture
def call() -> Call:
    snapshot = compile_text(CONFIG, "signalbox.yaml", 1).snapshot
    return Call(
        id="c",
        api="responses",
        snapshot=snapshot,
        principal=Principal("k", "t", "team", None, frozenset()),
        body=json.dumps(DOC).encode(),
        doc=DOC,
        envelope=DIALECTS["responses"].envelope(DOC),
        model="w",
        workload=snapshot.workloads["w"],
        pinned=None,
        data_header=NONE,
        headers=[],
        query=b"",
        received_ns=0,
        auth_ns=0,
        labels=labels_of(["legal"]),
    )


def test_a_translation_that_stores_nothing_gets_its_permit(interlock: Interlock, call: Call) -> None:
    assert interlock.permit(call, call.snapshot.deployment_by_name["chat"], "a-1", "chat", PLAIN).body == PLAIN


@pytest.mark.parametrize(
    ("api", "body"),
    [
        ("chat", PLAIN[:-1] + b',"store":true}'),
        ("chat", PLAIN[:-1] + b',"web_search_options":{}}'),
        ("messages", PLAIN[:-1] + b',"max_tokens":1,"container":"c_1"}'),
        # Not a translation, and nothing in it says that it is not to be kept.
        ("responses", json.dumps(DOC).encode()),
    ],
)
def test_one_that_carries_further_all_the_same_gets_none(
    interlock: Interlock, call: Call, api: str, body: bytes
) -> None:
    deployment = call.snapshot.deployment_by_name["both" if api == "responses" else "chat"]
    with pytest.raises(NoPermittedPlacement):
        interlock.permit(call, deployment, "a-1", api, body)
