"""Every text of a body is read, whatever the dialect and the depth, and nothing that is only structure is."""

import json
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.policy.parts import CARRY_CHARS, parts, pointers
from signalbox.wire.body import Edit, parse, splice

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=12).map(lambda t: f"w{t}w")
JSON = st.recursive(
    WORDS
    | st.booleans()
    | st.none()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)
TOP = st.sampled_from(["messages", "input", "system", "instructions", "tools", "prompt", "metadata", "unheard_of"])
BODIES = st.dictionaries(TOP, JSON, max_size=5)


def literals(value: Any) -> set[str]:
    """Every string of a JSON value, keys included, and every number that could be somebody's."""
    if isinstance(value, str):
        return {value}
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return set(fields).union(*(literals(item) for item in fields.values()))
    if isinstance(value, list):
        return {literal for item in cast("list[Any]", value) for literal in literals(item)}
    if isinstance(value, bool) or value is None:
        return set()
    if isinstance(value, float) and not value.is_integer():
        return set()
    return {str(int(value))} if abs(value) >= 1_000_000 else set()


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_no_literal_of_a_body_is_left_out(doc: dict[str, Any]) -> None:
    text = "\n".join(part.text for part in parts(doc, opaque=False))
    wanted = literals(doc) - {"messages", "input", "system", "instructions", "tools", "prompt", "metadata"}
    assert [literal for literal in wanted if literal not in text] == []


@settings(max_examples=200, deadline=None)
@given(BODIES)
def test_every_literal_has_a_pointer_that_leads_to_it(doc: dict[str, Any]) -> None:
    found = list(pointers(doc, opaque=False))
    told = "\n".join(text for _, text, _ in found)
    assert [literal for literal in literals(doc) - set(doc) if literal not in told] == []
    for at, text, before in found:
        value: Any = doc
        for step in at.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            value = cast("list[Any]", value)[int(step)] if isinstance(value, list) else value[step]
        if isinstance(value, str) and before >= 0:
            assert text[before:] == value


@settings(max_examples=200, deadline=None)
@given(BODIES, st.sampled_from(["gpt-5-mini", 'odd"name\\', "ж"]))
def test_edits_of_a_body_bring_in_no_text_but_the_model(doc: dict[str, Any], model: str) -> None:
    """What makes it sound to judge a body in its own dialect by what was received: only these edits are made."""
    body = json.dumps({"model": "w", "stream_options": {"x": "y"}, **doc}).encode()
    received = parse(body)
    edits = [Edit("model", model), Edit("stream_options.include_usage", True), Edit("store", False)]
    sent = parse(splice(body, received, edits))
    assert literals(sent) == (literals(received) - {"w"} | {model, "include_usage", "store"}) | (literals(doc) & {"w"})
    before = {part.text for part in parts(received, opaque=False)}
    assert {part.text for part in parts(sent, opaque=False)} == before


def chat(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages)}


def test_structure_is_nobodys_content() -> None:
    body = chat(
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "u", "cache_control": {"type": "ephemeral"}}]},
    )
    found = parts({**body, "max_tokens": 8, "stream": True, "temperature": 0.5}, opaque=False)
    assert [(part.role, part.text, part.seam) for part in found] == [("system", "s", ""), ("user", "u", "")]


def test_text_of_one_role_is_read_across_its_splits() -> None:
    digits = "4111111111111111"
    one = parts(chat({"role": "user", "content": [{"type": "text", "text": d} for d in digits]}), opaque=False)
    assert digits in one[0].seam
    turns = [{"role": role, "content": text} for d in digits for role, text in (("user", d), ("assistant", "Go on."))]
    assert digits in parts(chat(*turns), opaque=False)[-2].seam
    long = "x" * 1000
    halves = (f"{long}4111", f"1111{long}")
    found = parts(chat(*({"role": "user", "content": half} for half in halves)), opaque=False)
    assert "41111111" in found[1].seam
    assert len(found[1].seam) <= 2 * CARRY_CHARS


def test_a_lone_message_has_no_seam() -> None:
    found = parts(chat({"role": "system", "content": "a"}, {"role": "user", "content": "b"}), opaque=False)
    assert [part.seam for part in found] == ["", ""]


PIXELS = "A" * 4000


def image(url: str) -> dict[str, Any]:
    return chat({"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]})


def text_of(doc: dict[str, Any], opaque: bool) -> str:
    return "\n".join(part.text for part in parts(doc, opaque=opaque))


def test_media_bytes_are_left_to_the_opaque_class_and_nothing_else_is() -> None:
    picture = image(f"data:image/png;base64,{PIXELS}")
    assert PIXELS not in text_of(picture, opaque=True)
    assert PIXELS in text_of(picture, opaque=False), "no class stands for it, so it is read"
    assert PIXELS in text_of(image(f"data:text/plain;base64,{PIXELS}"), opaque=True)
    assert "word" in text_of(image(f"data:image/png;base64,{PIXELS} word"), opaque=True)
    argument = {"type": "tool_use", "id": "t", "name": "n", "input": {"type": "base64", "data": PIXELS}}
    assert PIXELS in text_of(chat({"role": "assistant", "content": [argument]}), opaque=True)
    assert PIXELS in text_of(chat({"role": "user", "content": PIXELS}), opaque=True)
    source = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXELS}}
    assert PIXELS not in text_of(chat({"role": "user", "content": [source]}), opaque=True)


@pytest.mark.parametrize("at", [0, 1, 65_535, 65_536, 65_537, 131_072, 200_000 - 1, 200_000])
def test_a_word_anywhere_in_media_is_read(at: int) -> None:
    """However large it is: it is looked through by pieces."""
    pixels = "A" * at + "!" + "A" * (200_000 - at)
    for prefix in ("data:image/png;base64,", ""):
        assert pixels in text_of(image(prefix + pixels), opaque=True)
        assert pixels.replace("!", "é") in text_of(image(prefix + pixels.replace("!", "é")), opaque=True)
        assert pixels.replace("!", "A") not in text_of(image(prefix + pixels.replace("!", "A")), opaque=True)


def test_a_json_text_in_a_string_is_read_as_its_reader_sees_it() -> None:
    code = 'def f():\n\treturn "x/y"\n'
    call = {"id": "1", "type": "function", "function": {"name": "run", "arguments": json.dumps({"code": code})}}
    assert code in text_of(chat({"role": "assistant", "tool_calls": [call]}), opaque=False)
    path = r"C:\new\table"
    assert path in text_of(chat({"role": "user", "content": path}), opaque=False)


def test_tokens_cost_nothing_and_say_nothing() -> None:
    assert parts({"input": [1, 2, 3]}, opaque=True) == []
    assert parts({"input": [[1, 2], [3]]}, opaque=True) == []
    assert "4111111111111111" in text_of({"input": [1, 4111111111111111]}, opaque=True)


def test_the_system_prompt_comes_first_wherever_it_stands() -> None:
    found = parts({"messages": [{"role": "user", "content": "u"}], "system": "s"}, opaque=False)
    assert [part.text for part in found] == ["s", "u"]


def test_a_number_is_read_like_text() -> None:
    block = {"type": "tool_use", "id": "t", "name": "n", "input": {"card": 4111111111111111, "amount": 3}}
    assert "card: 4111111111111111" in text_of(chat({"role": "assistant", "content": [block]}), opaque=False)


def test_depth_and_size_are_survived() -> None:
    deep: Any = "end"
    for _ in range(60):
        deep = {"d": deep}
    assert "end" in text_of({"messages": [{"role": "user", "content": [deep]}]}, opaque=False)
