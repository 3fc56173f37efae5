"""Where the rules permit a deployment only pseudonyms, it gets no value: wherever in a body one stands, at every
endpoint, passed on or translated, first choice or fall-over, however the call's class is known."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from conversations import wanting
from harness import Box, running, simulated_config

NUMBER = 4111111111111111
SPACED = "4111 1111 1111 1111"
SPLIT = ("my card is 4111 1111 ", "1111 1111")
NESTED = json.dumps({"a": json.dumps({"b": json.dumps({"card": SPACED})})})
HALVES = ("my card is 4111", "111111111111")

PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "count_tokens": "/v1/messages/count_tokens",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}
# By endpoint: the deployment that speaks its protocol, and one that is reached by translation.
PLACES = {
    "chat": ("chat", "messages"),
    "responses": ("responses", "chat"),
    "messages": ("messages", "responses"),
    "count_tokens": ("messages", ""),
    "completions": ("chat", "messages"),
    "embeddings": ("embed", ""),
}
PROVIDERS = {"chat": "openai", "responses": "azure", "messages": "anthropic", "embed": "openai"}
WAYS = ("same", "translated", "fall-over")
# How the class of a call is known: its detectors find it, its workload declares it, its client does.
KNOWN = ("found", "declared", "told")
GUARDS = [{"name": "pseudonymise", "where": "needed"}]
RULE = {
    "id": "stays",
    "when": {"level": "confidential"},
    "allow": {"kind": ["on-prem"]},
    "transform": "pseudonymise",
}
# Where health data may go only as pseudonyms, a card number may not either: it says whose they are.
OF_HEALTH = {"id": "phi-stays", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}, "transform": "pseudonymise"}

TELLING = {"x-signalbox-data": "phi"}

Doc = dict[str, Any]
Place = Callable[[str, Doc], None]


def said(api: str, doc: Doc, text: Any) -> None:
    """Puts what the user says into a body."""
    if api in ("responses", "embeddings"):
        doc["input"] = text
    elif api == "completions":
        doc["prompt"] = text
    else:
        doc["messages"][-1]["content"] = text


def parts(api: str, doc: Doc, *texts: str) -> None:
    if api in ("completions", "embeddings"):
        said(api, doc, list(texts))
    elif api == "responses":
        doc["input"] = [{"role": "user", "content": [{"type": "input_text", "text": text} for text in texts]}]
    else:
        said(api, doc, [{"type": "text", "text": text} for text in texts])


def turns(api: str, doc: Doc, *texts: str) -> None:
    key = "input" if api == "responses" else "messages"
    doc[key] = [{"role": "user", "content": text} for text in texts]


def schema(api: str, doc: Doc, inner: Doc) -> None:
    if api in ("messages", "count_tokens"):
        doc["tools"] = [{"name": "look", "input_schema": inner}]
    else:
        made = {"name": "look", "parameters": inner}
        doc["tools"] = [{"type": "function", **(made if api == "responses" else {"function": made})}]


def called_with(api: str, doc: Doc, arguments: Any) -> None:
    """arguments: of a tool that was called before; JSON text, or an object."""
    schema(api, doc, {"type": "object"})
    if api in ("messages", "count_tokens"):
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
        doc["messages"] += [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "look", "input": value}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}]},
        ]
        return
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    if api == "responses":
        doc["input"] = [
            {"role": "user", "content": "go"},
            {"type": "function_call", "call_id": "t1", "name": "look", "arguments": text},
            {"type": "function_call_output", "call_id": "t1", "output": "done"},
        ]
        return
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": text}}
    doc["messages"] += [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "done"},
    ]


def of(inner: Doc) -> Doc:
    return {"type": "object", "properties": {"q": inner}}


TURNS = ("chat", "responses", "messages", "count_tokens")
FORMS = ("chat", "responses", "messages")
EVERYWHERE = tuple(PATHS)
STANDING: dict[str, tuple[tuple[str, ...], Place]] = {
    "text": (EVERYWHERE, lambda api, doc: said(api, doc, f"my card is {SPACED}, see?")),
    "text-and-number": (EVERYWHERE, lambda api, doc: (said(api, doc, f"card {SPACED}"), doc.update(seed=NUMBER))[0]),
    "number-in-metadata": (EVERYWHERE, lambda api, doc: doc.update(metadata={"card": NUMBER})),
    "list-in-metadata": (EVERYWHERE, lambda api, doc: doc.update(metadata={"cards": [{"n": [NUMBER]}]})),
    "key-in-metadata": (EVERYWHERE, lambda api, doc: doc.update(metadata={str(NUMBER): "card"})),
    "unknown-field": (EVERYWHERE, lambda api, doc: doc.update(card=NUMBER)),
    "unknown-object": (EVERYWHERE, lambda api, doc: doc.update(about={"card": {"number": NUMBER}})),
    "float": (EVERYWHERE, lambda api, doc: doc.update(about={"card": float(NUMBER)})),
    "negative": (EVERYWHERE, lambda api, doc: doc.update(about={"card": -NUMBER})),
    "exponent": (EVERYWHERE, lambda api, doc: doc.update(about={"card": "<exponent>"})),
    "seed": (EVERYWHERE, lambda api, doc: doc.update(seed=NUMBER)),
    "user": (EVERYWHERE, lambda api, doc: doc.update(user=f"card {NUMBER}")),
    "id": (EVERYWHERE, lambda api, doc: doc.update(id=f"card {NUMBER}")),
    "type": (EVERYWHERE, lambda api, doc: doc.update(about={"type": f"card {NUMBER}"})),
    "short-key": (EVERYWHERE, lambda api, doc: doc.update(about={"no": f"card {NUMBER}"})),
    "escaped": (EVERYWHERE, lambda api, doc: said(api, doc, "<escaped>")),
    "escaped-twice": (EVERYWHERE, lambda api, doc: said(api, doc, json.dumps({"card": "<escaped>"}))),
    "url": (EVERYWHERE, lambda api, doc: said(api, doc, f"https://shop.test/pay?card={NUMBER}&x=1")),
    "url-escaped": (EVERYWHERE, lambda api, doc: said(api, doc, "https://shop.test/pay?card=4111%201111%201111%201111")),
    "url-escaped-twice": (
        EVERYWHERE, lambda api, doc: said(api, doc, "https://shop.test/pay?card=4111%25201111%25201111%25201111")
    ),
    "two-parts": (EVERYWHERE, lambda api, doc: parts(api, doc, *SPLIT)),
    "two-halves": (EVERYWHERE, lambda api, doc: parts(api, doc, *HALVES)),
    "two-turns": (TURNS, lambda api, doc: turns(api, doc, *SPLIT)),
    "schema-default": (TURNS, lambda api, doc: schema(api, doc, of({"type": "integer", "default": NUMBER}))),
    "schema-enum": (TURNS, lambda api, doc: schema(api, doc, of({"enum": [NUMBER, 7]}))),
    "schema-const": (TURNS, lambda api, doc: schema(api, doc, of({"const": NUMBER}))),
    "schema-example": (TURNS, lambda api, doc: schema(api, doc, of({"examples": [{"card": NUMBER}]}))),
    "schema-string": (TURNS, lambda api, doc: schema(api, doc, of({"default": f"card {SPACED}"}))),
    "schema-name": (
        TURNS, lambda api, doc: schema(api, doc, {"type": "object", "properties": {f"card {NUMBER}": {}}})
    ),
    "called-with-text": (TURNS, lambda api, doc: called_with(api, doc, json.dumps({"card": SPACED}))),
    "called-with-number": (TURNS, lambda api, doc: called_with(api, doc, json.dumps({"card": NUMBER}))),
    "called-with-float": (TURNS, lambda api, doc: called_with(api, doc, json.dumps({"card": float(NUMBER)}))),
    "called-with-key": (TURNS, lambda api, doc: called_with(api, doc, json.dumps({str(NUMBER): {"a": 1}}))),
    "called-with-json": (TURNS, lambda api, doc: called_with(api, doc, NESTED)),
    "format-enum": (FORMS, lambda api, doc: doc.update(wanting(api, of({"enum": [NUMBER]})))),
    "stop": (("chat", "messages", "completions"), lambda api, doc: doc.update(
        {"stop_sequences" if api == "messages" else "stop": [f"card {SPACED}"]})),
    "image": (("chat", "messages", "responses"), lambda api, doc: image(api, doc)),
    "tokens": (("completions", "embeddings"), lambda api, doc: said(api, doc, [NUMBER, 7])),
    "small-tokens": (("completions", "embeddings"), lambda api, doc: said(api, doc, [4111, 1111, 1111, 1111])),
    "media": (TURNS, lambda api, doc: said(api, doc, "x" * 5000 + f",card:{NUMBER}")),
}  # fmt: skip


def image(api: str, doc: Doc) -> None:
    data = "4111111111111111" * 40
    if api == "responses":
        inner = {"type": "input_image", "image_url": f"data:image/png;base64,{data}"}
        doc["input"] = [{"role": "user", "content": [inner]}]
    elif api == "messages":
        source = {"type": "base64", "media_type": "image/png", "data": data}
        said(api, doc, [{"type": "image", "source": source}])
    else:
        said(api, doc, [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}])


def body_of(api: str, place: str, model: str, *, stream: bool) -> bytes:
    doc: Doc = {"model": model}
    said(api, doc, "hello") if api in ("responses", "completions", "embeddings") else turns(api, doc, "hello")
    if api in ("messages", "completions", "chat"):
        doc["max_tokens"] = 20
    if api == "responses":
        doc["store"] = False
    if stream and api not in ("embeddings", "count_tokens"):
        doc["stream"] = True
    STANDING[place][1](api, doc)
    raw = json.dumps(doc)
    raw = raw.replace('"<exponent>"', "4.111111111111111e15").replace("<escaped>", "card \\u0034111 1111 1111 1111")
    return raw.encode()


def holds(body: bytes) -> bool:
    """Whether the value is in it, whatever stands between its digits."""
    text = body.decode()
    for _ in range(3):
        text = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
        text = re.sub(r"%(?:25)*([2-7][0-9a-fA-F])", lambda found: chr(int(found[1], 16)), text)
    text = re.sub(r"4\.1{15}e\+?15", "4111111111111111", text)
    return "4111111111111111" in re.sub(r"[^0-9]", "", text)


def configured(box: Box) -> Doc:
    config = simulated_config(box.sim, health={"enabled": False}, rules=[RULE, OF_HEALTH])
    config["workloads"] = {}
    for api, (same, other) in PLACES.items():
        ways = {"same": [same], "translated": [other], "fall-over": ["down", other or same]}
        for way, known in product(WAYS, KNOWN):
            if way == "translated" and not other:
                continue
            workload: Doc = {"placements": ways[way], "guards": GUARDS}
            if known == "declared":
                workload |= {"data": ["phi"], "classify": {"detectors": "off"}}
            config["workloads"][f"{api}-{way}-{known}"] = workload
    for deployment in list(config["deployments"].values()):
        deployment["capabilities"]["images"] = True
    down = config["deployments"]["chat"]
    config["deployments"]["down"] = {
        **down,
        "capabilities": {"apis": ["chat", "completions", "embeddings", "messages", "responses", "count_tokens"]},
        "model": "sim-small!503",
    }
    return config


# Texts of one embeddings call are read one by one: nobody reads them in a row.
NOT_SEEN = {("two-parts", "embeddings"), ("two-halves", "embeddings")}
# What has a pseudonym in every protocol; where it goes, a card number may stand in any other place as well.
REPLACED = ("text", "user", "escaped", "escaped-twice", "url", "key-in-metadata", "schema-string", "called-with-json")


@pytest.mark.parametrize("known", KNOWN)
@pytest.mark.parametrize("way", WAYS)
async def test_no_value_goes_where_only_pseudonyms_may(tmp_path: Path, way: str, known: str) -> None:
    """Each place of a body, at each endpoint: the value is replaced, or the call is refused."""
    async with running(tmp_path) as box:
        config = configured(box)
        error = await box.configure(config)
        assert not error, error
        for number, (place, (apis, _)) in enumerate(STANDING.items()):
            for api in apis:
                model = f"{api}-{way}-{known}"
                if model not in config["workloads"] or (place, api) in NOT_SEEN:
                    continue
                box.sim.log.clear()
                headers = {"x-signalbox-session": f"{place}-{api}"} | (TELLING if known == "told" else {})
                body = body_of(api, place, model, stream=bool(number % 2))
                assert holds(body) or place == "image", place
                answer = await box.request(PATHS[api], body, headers=headers)
                cell = (place, api, answer.status, answer.body[:500])
                assert not [entry for entry in box.sim.log.entries if holds(entry.body)], cell
                assert answer.status in (200, 400, 503), cell
                if answer.status == 200:
                    assert box.sim.log.entries, cell
                elif place in REPLACED:
                    pytest.fail(f"not replaced: {cell}")


@pytest.mark.parametrize("path", ["chat", "messages", "responses"])
async def test_whoever_may_see_it_gets_what_cannot_be_replaced(tmp_path: Path, path: str) -> None:
    """A deployment that the rules permit the call as it is answers after one that they permit pseudonyms only."""
    async with running(tmp_path) as box:
        config = configured(box)
        config["workloads"] = {"w": {"placements": [PLACES[path][0], "local"], "guards": GUARDS}}
        assert not await box.configure(config)
        for place in ("unknown-field", "schema-enum", "two-parts", "image"):
            box.sim.log.clear()
            answer = await box.request(PATHS[path], body_of(path, place, "w", stream=False))
            assert answer.status == 200, answer.body
            assert {entry.provider for entry in box.sim.log.entries} == {"vllm"}, place


async def test_the_refusal_says_what_cannot_be_taken_out(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        assert not await box.configure(configured(box))
        for place, kind in (("seed", "cards/visa"), ("two-parts", "cards/visa"), ("image", "no guard can read")):
            answer = await box.request(PATHS["chat"], body_of("chat", place, "chat-same-found", stream=False))
            assert (answer.status, answer.json["error"]["code"]) == (400, "no_permitted_placement")
            assert kind in answer.json["error"]["message"]
            assert str(NUMBER) not in answer.body.decode()
        assert len(box.refused()) == 3


async def test_what_a_provider_has_encrypted_and_what_is_declared_to_hold_nothing_may_go(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        config = configured(box)
        config["workloads"]["plain"] = {"placements": ["chat"], "guards": GUARDS, "data": ["phi"], "opaque": ["public"]}
        assert not await box.configure(config)
        answer = await box.request(PATHS["chat"], body_of("chat", "image", "plain", stream=False))
        assert answer.status == 200, answer.body
        thought = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2VhbGVk" * 90}
        turns: list[Doc] = [{"role": "user", "content": "hi"}, thought, {"role": "user", "content": "go on"}]
        body: Doc = {"model": "responses-same-declared", "input": turns, "store": False}
        assert (await box.request(PATHS["responses"], body)).status == 200
        blocks: list[Doc] = [{"type": "redacted_thinking", "data": "c2VhbGVk" * 90}, {"type": "text", "text": "well"}]
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": blocks}, turns[-1]]
        body = {"model": "messages-same-declared", "max_tokens": 9, "messages": turns}
        assert (await box.request(PATHS["messages"], body)).status == 200


async def test_a_value_in_another_spelling_is_hidden_in_every_turn(tmp_path: Path) -> None:
    """A history is sent again and again, and what was read once must not be taken for harmless."""
    async with running(tmp_path) as box:
        config = configured(box)
        guards = [{"name": "pseudonymise", "where": "always"}]
        config["workloads"] = {"w": {"placements": ["chat"], "guards": guards}}
        assert not await box.configure(config | {"rules": []})
        turns: list[Doc] = [{"role": "user", "content": f"my card is {NUMBER}"}]
        for text in (f"again {SPACED}", f"{SPACED.replace(' ', '-')} or so", "and now?", "and now??"):
            answer = await box.request(PATHS["chat"], {"model": "w", "messages": turns})
            assert answer.status == 200, answer.body
            turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": text}]
        assert (await box.request(PATHS["chat"], {"model": "w", "messages": turns})).status == 200
        assert len(box.sim.log.entries) == 5
        assert not [entry for entry in box.sim.log.entries if holds(entry.body)]


@pytest.mark.parametrize("known", KNOWN)
async def test_a_pseudonym_is_taken_for_no_name(tmp_path: Path, known: str) -> None:
    """What is read again is what is left: behind `Mr.` or `Name:` anything looks like a name."""
    said = (
        "Datos: Nombre: Ana. Apellidos: Ruiz Vega. Domicilio: Calle Mayor 5",
        "A 70yo patient w/ CHF, seen by Dr. Jones, was Mr. Smith",
    )
    async with running(tmp_path) as box:
        config = configured(box)
        assert not await box.configure(config)
        for text in said:
            body: Doc = {"model": f"chat-same-{known}", "messages": [{"role": "user", "content": text}]}
            answer = await box.request(PATHS["chat"], body, headers=TELLING if known == "told" else {})
            assert answer.status == 200, answer.body
        sent = b"".join(entry.body for entry in box.sim.log.entries)
        assert len(box.sim.log.entries) == 2
        assert not [name for name in (b"Ruiz", b"Vega", b"Smith", b"Jones") if name in sent]
