"""Every field of a translated request is carried, refused or reported: taking it out changes what is sent or told."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from parameter_bodies import BASE, CASES, TARGETS
from signalbox.core.errors import BadRequest, CallError
from signalbox.wire.dialect import Target
from signalbox.wire.table import DIALECTS

# Say nothing that the other protocol does not know anyway.
MEANINGLESS = frozenset({"type", "parameters", "source.type"})


def translated(api: str, doc: dict[str, Any], target: str, model: str) -> tuple[Any, list[str]]:
    request = DIALECTS[api].read_request(copy.deepcopy(doc))
    body = json.loads(DIALECTS[target].write_request(request, Target(model)))
    return body, request.dropped


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the optional fields: keys of objects, from the outside in."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from leaves(inner, (*path, position))


def without(doc: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(doc)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return changed


def reported_whole(path: tuple[Any, ...], dropped: list[str]) -> bool:
    """Whether the field stands inside one that is reported by its own name."""
    return any(str(step) == name.rpartition(".")[2] for step in path[:-1] for name in dropped)


@pytest.mark.parametrize("api", BASE)
def test_what_a_field_says_is_carried_or_reported(api: str) -> None:
    silent: list[str] = []
    for case in CASES[api]:
        doc = {"model": "m", **BASE[api], **case}
        for target, models in TARGETS.items():
            for model in models if target != api else ():
                told = translated(api, doc, target, model)
                for path in leaves(case):
                    if path[-1] in MEANINGLESS or reported_whole(path, told[1]):
                        continue
                    try:
                        if translated(api, without(doc, path), target, model) == told:
                            silent.append(f"{'.'.join(map(str, path))} -> {target} {model}")
                    except CallError:
                        continue  # a field that must be there
    assert not silent


def test_thinking_that_is_switched_off_asks_for_no_effort() -> None:
    doc = {**BASE["messages"], "thinking": {"type": "disabled"}}
    for target in ("chat", "responses"):
        for model in TARGETS[target]:
            body, dropped = translated("messages", doc, target, model)
            assert "reasoning" not in body
            assert "reasoning_effort" not in body
            assert not dropped


@pytest.mark.parametrize(("model", "sent"), [("gpt-4o", False), ("gpt-5", True), ("o3", True), ("llama-70b", True)])
def test_an_effort_goes_only_to_models_that_think(model: str, sent: bool) -> None:
    body, dropped = translated("chat", {**BASE["chat"], "reasoning_effort": "low"}, "responses", model)
    assert (body.get("reasoning") == {"effort": "low"}) is sent
    assert ("reasoning_effort" in dropped) is not sent


@pytest.mark.parametrize(
    ("model", "by_chat", "by_responses"),
    [
        ("gpt-5.2", True, True),
        ("gpt-5-chat-latest", False, False),
        ("gpt-4o", False, False),
        ("o3", False, False),
        ("llama-70b", False, True),
    ],
)
def test_how_much_to_say_is_carried_to_models_that_are_told(model: str, by_chat: bool, by_responses: bool) -> None:
    body, dropped = translated("responses", {**BASE["responses"], "text": {"verbosity": "low"}}, "chat", model)
    assert (body.get("verbosity") == "low", "verbosity" in dropped) == (by_chat, not by_chat)
    asked = {"verbosity": "low", "response_format": {"type": "json_object"}}
    body, dropped = translated("chat", {**BASE["chat"], **asked}, "responses", model)
    assert body["text"]["format"] == {"type": "json_object"}
    assert (body["text"].get("verbosity") == "low", "verbosity" in dropped) == (by_responses, not by_responses)


@pytest.mark.parametrize(("model", "taken"), [("gpt-4o", True), ("gpt-5", False), ("o3", False), ("llama-70b", True)])
def test_sampling_is_left_out_where_a_responses_model_refuses_it(model: str, taken: bool) -> None:
    body, dropped = translated("chat", {**BASE["chat"], "temperature": 0.5, "top_p": 1}, "responses", model)
    assert (body.get("temperature") == 0.5) is taken
    assert dropped == ([] if taken else ["temperature"])


def test_a_tool_that_is_demanded_but_not_given_is_refused() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        with pytest.raises(BadRequest, match="there are no tools"):
            translated("chat", {**BASE["chat"], "tool_choice": choice}, "responses", "gpt-5")


@pytest.mark.parametrize(
    ("said", "sent"), [("image/jpg", "image/jpeg"), ("IMAGE/PNG", "image/png"), ("image/gif", "image/gif")]
)
def test_an_image_whose_type_is_misspelled_as_usual_is_carried(said: str, sent: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:{said};base64,AAAA"}}
    body, _ = translated("chat", {"messages": [{"role": "user", "content": [part]}]}, "messages", "claude-sonnet-4-5")
    assert body["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": sent, "data": "AAAA"}
