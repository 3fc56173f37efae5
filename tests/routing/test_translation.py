"""Which of a deployment's APIs a call is translated for: the one that loses least, for every parameter of every API."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest

from parameter_bodies import BASE, CASES, TARGETS
from signalbox.core.errors import CallError, Unsupported
from signalbox.core.secret import Secret
from signalbox.core.snapshot import Deployment, Environment
from signalbox.routing.translation import TRANSLATIONS, target_api, translated
from signalbox.wire.dialect import Target
from signalbox.wire.table import DIALECTS

CONVERSATIONS = tuple(BASE)
# Of no consequence for what the model answers.
LABELS = {"metadata", "prompt_cache_key", "cache_control", "service_tier"}
MODELS = sorted({model for models in TARGETS.values() for model in models})


def deployment(apis: tuple[str, ...], model: str = "m", **more: Any) -> Deployment:
    place = Environment("e", "cloud", "eu", "eu", "sim", "", ())
    return Deployment(0, "d", place, "openai", model, (), ("x", Secret("")), frozenset(apis), **more)


def lost(api: str, doc: dict[str, Any], target: str, model: str) -> list[str] | None:
    """What this protocol alone leaves out; None where it refuses."""
    request = DIALECTS[api].read_request(copy.deepcopy(doc))
    try:
        DIALECTS[target].write_request(request, Target(model))
    except CallError:
        return None
    return request.dropped


@pytest.mark.parametrize("api", CONVERSATIONS)
def test_no_other_protocol_of_the_deployment_would_have_carried_more(api: str) -> None:
    """From the protocols' own reports: every parameter, over the two protocols that the caller does not speak."""
    others = tuple(other for other in TRANSLATIONS[api] if other in CONVERSATIONS and other != api)
    away: set[str] = set()
    for case, model in itertools.product(CASES[api], MODELS):
        doc = {"model": "m", **BASE[api], **case}
        losses = {other: lost(api, doc, other, model) for other in others}
        possible = [other for other in others if losses[other] is not None]
        request = DIALECTS[api].read_request(copy.deepcopy(doc))
        before = copy.deepcopy(request)
        if not possible:
            with pytest.raises(CallError):
                translated(api, request, deployment(others, model), 99)
            continue
        chosen = translated(api, request, deployment(others, model), 99)
        assert request == before, "attempts elsewhere begin from the same request"
        assert chosen.request.dropped == losses[chosen.api]
        # In a tie, the choice does not wander from the usual order.
        assert chosen.api == min(possible, key=lambda other: weight(losses[other])), (case, model)
        away |= {chosen.api}
    assert away == set(others), "the choice never matters"


def weight(loss: list[str] | None) -> tuple[int, int]:
    names = set(loss or ())
    return len(names - LABELS), len(names)


@pytest.mark.parametrize(
    ("api", "said", "apis", "taken"),
    [
        ("messages", {}, ("chat", "responses"), "responses"),
        ("messages", {"stop_sequences": ["END"]}, ("chat", "responses"), "chat"),
        ("messages", {"stop_sequences": ["END"]}, ("responses",), "responses"),
        ("messages", {"stop_sequences": ["END"]}, ("chat", "responses", "messages"), "messages"),
        ("chat", {"seed": 7}, ("responses", "messages"), "responses"),
        ("chat", {"stop": "END"}, ("responses", "messages"), "messages"),
        ("chat", {"top_k": 3}, ("responses", "messages"), "messages"),
        ("chat", {"metadata": {"a": "b"}}, ("responses", "messages"), "responses"),
        # What shapes the answer weighs more than any number of labels.
        (
            "chat",
            {"stop": "END", "metadata": {"a": "b"}, "prompt_cache_key": "k"},
            ("responses", "messages"),
            "messages",
        ),
        ("responses", {"metadata": {"a": "b"}, "prompt_cache_key": "k"}, ("chat", "messages"), "chat"),
        # JSON mode without a schema is refused by one of them.
        ("chat", {"response_format": {"type": "json_object"}, "stop": "END"}, ("responses", "messages"), "responses"),
    ],
)
def test_the_protocol_that_loses_least_is_taken(
    api: str, said: dict[str, Any], apis: tuple[str, ...], taken: str
) -> None:
    request = DIALECTS[api].read_request({"model": "m", **BASE[api], **said})
    assert translated(api, request, deployment(apis, "gpt-4o"), 99).api == taken


def test_what_no_protocol_can_carry_is_refused_as_by_the_usual_one() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    request = DIALECTS["chat"].read_request({"model": "m", **BASE["chat"], "tools": tools})
    with pytest.raises(Unsupported) as refused:
        translated("chat", request, deployment(("responses", "messages"), "gpt-4o", tools=False), 99)
    assert refused.value.param == "tools"


def test_a_deployment_that_speaks_the_callers_own_api_is_called_in_it() -> None:
    for api, count in itertools.product(CONVERSATIONS, (1, 2, 3)):
        for apis in itertools.combinations(CONVERSATIONS, count):
            taken = target_api(api, deployment(apis))
            assert taken in apis
            assert (taken == api) is (api in apis)
