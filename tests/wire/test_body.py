"""Request bodies: one meaning or a clear refusal, and edits that touch nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from signalbox.core.errors import BadRequest
from signalbox.wire.body import Edit, parse, rename, splice

texts = st.text(max_size=12) | st.sampled_from(["model", '"model"', 'x"model', "\\", "store", "stream_options"])
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
spaces = st.sampled_from(["", " ", "\n", "\t \r\n"])


@st.composite
def json_text(draw: st.DrawFn, value: Any) -> str:
    """One of the many ways to write a value down: white space and escapes at will, keys included."""
    gap = draw(spaces)
    if isinstance(value, str):
        style = draw(st.sampled_from(["plain", "ascii", "escaped"]))
        if style == "escaped" and value.isascii():
            return '"' + "".join(f"\\u{ord(char):04x}" for char in value) + '"' + gap
        return json.dumps(value, ensure_ascii=style != "plain") + gap
    if isinstance(value, list):
        return "[" + gap + ",".join([gap + draw(json_text(item)) for item in value]) + "]" + gap
    if isinstance(value, dict):
        members = [gap + draw(json_text(key)) + ":" + gap + draw(json_text(item)) for key, item in value.items()]
        return "{" + gap + ",".join(members) + "}" + gap
    return json.dumps(value) + gap


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, dict[str, Any]]:
    doc = draw(st.dictionaries(texts, values, max_size=5))
    return (draw(spaces) + draw(json_text(doc))).encode(), doc


@st.composite
def with_member(draw: st.DrawFn, key: str, strategy: st.SearchStrategy[Any]) -> tuple[str, str, str, dict[str, Any]]:
    """A document that has the member, as text cut in three: before its value, its value, after it."""
    doc = draw(st.dictionaries(texts, values, max_size=4)) | {key: draw(strategy)}
    doc = {name: doc[name] for name in draw(st.permutations(list(doc)))}
    pieces = [draw(spaces) + "{"]
    for position, (name, value) in enumerate(doc.items()):
        pieces[-1] += ("," if position else "") + draw(spaces) + draw(json_text(name)) + ":" + draw(spaces)
        written = draw(json_text(value))
        if name == key:
            pieces += [written.rstrip(" \n\t\r"), draw(spaces)]
        else:
            pieces[-1] += written
    before, value, after = pieces
    return before, value, after + "}", doc


@settings(max_examples=60, deadline=None)
@given(documents())
def test_reads_what_was_written(pair: tuple[bytes, dict[str, Any]]) -> None:
    body, doc = pair
    assert parse(body) == doc


@settings(max_examples=60, deadline=None)
@given(documents(), texts, values, values)
def test_a_key_that_comes_twice_is_refused_wherever_it_is(
    pair: tuple[bytes, dict[str, Any]], key: str, first: Any, second: Any
) -> None:
    twin = '{"a":[{%s:%s,%s:%s}],"b":%s}' % (  # noqa: UP031
        json.dumps(key), json.dumps(first),
        '"' + "".join(f"\\u{ord(char):04x}" for char in key) + '"' if key.isascii() else json.dumps(key),
        json.dumps(second), pair[0].decode(),
    )  # fmt: skip
    with pytest.raises(BadRequest, match="twice"):
        parse(twin.encode())


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b" \n", "empty"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'{"a":NaN}', "byte 5"),
        (b'{"a":-Infinity}', "not valid JSON"),
        (b'{"a":1e999}', "out of range"),
        (b'{"a":' + b"9" * 100_000 + b"}", "out of range"),
        (b'{"a":01}', "invalid number"),
        (b'{"a":1}x', "trailing"),
        (b"{'a':1}", "not valid JSON"),
        (b'{"a":1,}', "trailing comma"),
        (b'{"a":1', "truncated"),
        (b'{"a":"\x01"}', "invalid character"),
        (b'{"a":"\xff"}', r"UTF-8 \(byte 6\)"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\xc0\x80"}', "UTF-8"),
        (b'{"a":"\\ud800"}', r"\\ud800 at byte 6: a surrogate"),
        (b'{"a":"\\ud83d\\ude00\\\\ud800","b":["x\\uDE00"]}', r"\\uDE00 at byte 34: a surrogate"),
        (b'{"a":"\\\\ud800",}', "trailing comma"),
        (b'{"a":"\\ud83d\\ude00",}', "trailing comma"),
        pytest.param(b'{"a":"' + b"\\ud83d\\ude00" * 100_000 + b'",}', "trailing comma", id="many whole characters"),
        (b'{"\\udead":1}', r"\\udead at byte 2: a surrogate"),
        (b'{"a":"\\ud800\\u0041"}', "surrogate"),
        (b'{"\\udc00":1}', "surrogate"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        (b'{"a":1,"a":1}', '"a" twice'),
        (b'{"a":1,"\\u0061":1}', '"a" twice'),
        (b'{"a\\u0022":1,"a\\"":1}', "twice"),
        (b'{"m":[{"x":{"b":"\\u0022\\u0022","b":2}}]}', '"b" twice'),
        (b'{"n":36893488147419103232,"b":1,"b":2}', '"b" twice'),
    ],
)
def test_refuses_what_could_be_read_in_two_ways(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        parse(body)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
@pytest.mark.parametrize("depth", [64, 65, 900, 100_000, 1_000_000])
def test_depth_is_bounded_and_never_costs_the_stack(opening: bytes, depth: int) -> None:
    closing = b"]" if opening == b"[" else b"}"
    body = b'{"a":' + opening * (depth - 1) + b"1" + closing * (depth - 1) + b"}"
    if depth <= 64:
        assert parse(body)["a"]
        return
    with pytest.raises(BadRequest, match="nested too deeply"):
        parse(body)


def test_many_brackets_are_not_depth() -> None:
    doc = {"messages": [{"role": "user", "content": [{"type": "text", "text": "[[[[{{{{" * 40}]}] * 100}
    assert parse(json.dumps(doc).encode()) == doc


def test_giant_integers_are_kept_exact() -> None:
    assert parse(b'{"seed":123456789012345678901234567890}') == {"seed": 123456789012345678901234567890}


@settings(max_examples=60, deadline=None)
@given(with_member("model", texts), texts)
def test_the_model_and_nothing_else_changes(parts: tuple[str, str, str, dict[str, Any]], model: str) -> None:
    before, value, after, _ = parts
    body = (before + value + after).encode()
    spliced = splice(body, parse(body), [Edit("model", model)]).decode()
    assert spliced.startswith(before)
    assert spliced.endswith(after)
    assert json.loads(spliced[len(before) : len(spliced) - len(after)]) == model


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (b'{"model":"a"}', b'{"model":"NEW"}'),
        (b' {\n"x":{"model":"no"}, "model" :\t"a" }\n', b' {\n"x":{"model":"no"}, "model" :\t"NEW" }\n'),
        (b'{"\\u006dodel":"a","x":["model"]}', b'{"\\u006dodel":"NEW","x":["model"]}'),
        (b'{"x":"say \\"model","model":"a\\"b"}', b'{"x":"say \\"model","model":"NEW"}'),
        (b'{"n":1e2,"m":-0.0,"big":123456789012345678901,"t":true,"model":"a","z":null}',
         b'{"n":1e2,"m":-0.0,"big":123456789012345678901,"t":true,"model":"NEW","z":null}'),
        (b'{"x":[[{"a":"]}"}],{}],"model":"a","metadata":{"model":"m"}}',
         b'{"x":[[{"a":"]}"}],{}],"model":"NEW","metadata":{"model":"m"}}'),
    ],
)  # fmt: skip
def test_the_right_model_is_found(body: bytes, after: bytes) -> None:
    assert splice(body, parse(body), [Edit("model", "NEW")]) == after


def test_a_model_that_is_only_deeper_down_is_left_alone() -> None:
    body = b'{"x":{"model":"a"}}'
    assert splice(body, parse(body), [Edit("model", "NEW")]) == b'{"model":"NEW","x":{"model":"a"}}'


@settings(max_examples=60, deadline=None)
@given(with_member("store", values), st.booleans())
def test_a_member_is_set_where_it_is(parts: tuple[str, str, str, dict[str, Any]], value: bool) -> None:
    before, old, after, _ = parts
    body = (before + old + after).encode()
    assert splice(body, parse(body), [Edit("store", value)]).decode() == before + json.dumps(value) + after


@settings(max_examples=60, deadline=None)
@given(documents())
def test_a_member_that_is_missing_is_put_first(pair: tuple[bytes, dict[str, Any]]) -> None:
    body, doc = pair
    assume("stream_options" not in doc)
    head, tail = body.split(b"{", 1)
    comma = b"," if doc else b""
    after = splice(body, doc, [Edit("stream_options.include_usage", True)])
    assert after == head + b'{"stream_options":{"include_usage":true}' + comma + tail


@settings(max_examples=60, deadline=None)
@given(
    with_member(
        "stream_options", st.none() | st.dictionaries(texts | st.just("include_usage"), values, min_size=1, max_size=3)
    )
)
def test_a_member_of_a_member_is_set(parts: tuple[str, str, str, dict[str, Any]]) -> None:
    before, value, after, doc = parts
    body = (before + value + after).encode()
    spliced = splice(body, parse(body), [Edit("stream_options.include_usage", True)]).decode()
    assert parse(spliced.encode()) == doc | {"stream_options": (doc["stream_options"] or {}) | {"include_usage": True}}
    assert spliced.startswith(before)
    assert spliced.endswith(after)
    if doc["stream_options"] and "include_usage" not in doc["stream_options"]:
        assert spliced == before + '{"include_usage":true,' + value[1:] + after


@settings(max_examples=60, deadline=None)
@given(documents(), st.permutations(["model", "store", "max_tokens", "stream_options"]))
def test_several_edits_at_once(pair: tuple[bytes, dict[str, Any]], keys: list[str]) -> None:
    body, doc = pair
    doc.pop("stream_options", None)
    body = json.dumps(doc).encode()
    edits = [Edit(key if key != "stream_options" else "stream_options.include_usage", "new") for key in keys]
    expected = doc | dict.fromkeys(keys, "new") | {"stream_options": {"include_usage": "new"}}
    assert parse(splice(body, doc, edits)) == expected


def test_refuses_a_path_through_a_value_and_two_edits_of_one_member() -> None:
    body = b'{"stream_options":7}'
    with pytest.raises(BadRequest, match="must be an object"):
        splice(body, parse(body), [Edit("stream_options.include_usage", True)])
    with pytest.raises(ValueError, match="two edits"):
        splice(body, parse(body), [Edit("a.b", 1), Edit("a.c", 1)])


# --- large bodies, which are looked through in another way ---

IMAGE = '{"url":"data:image/png;base64,' + "A" * 200_000 + '"}'


@pytest.mark.parametrize(
    "said", ["", r"\"", r"\\", r"\\u0022", r"\u0022", r"\u0022a\u0022:", r"\"model\":", r"\/" * 90]
)
@pytest.mark.parametrize(
    ("first", "second"),
    [('"model":"a",', '"model":"b",'), (r'"\u006dodel":"a",', '"model":"b",'), ('"model":"a",', '"model" : {},')],
)
def test_a_key_twice_is_found_beside_an_image(first: str, second: str, said: str) -> None:
    assert parse(f'{{{first}"said":"{said}","image":{IMAGE}}}'.encode())
    for doubled in (
        f'{{{first}"said":"{said}","image":{IMAGE},{second}"z":1}}',
        f'{{"image":{IMAGE},"said":"{said}","inner":[{{{first}{second}"z":1}}]}}',
        f'{{{first}"said":"{said}","inner":{{"a":{IMAGE},"a":{IMAGE}}}}}',
        f'{{{first}"said":"{said}","{said}x":1,"{said}x":{IMAGE}}}',
    ):
        with pytest.raises(BadRequest, match="twice"):
            parse(doubled.encode())


@pytest.mark.parametrize("marks", [("[", "]"), ('{"a":', "}")])
def test_depth_is_bounded_beside_an_image(marks: tuple[str, str]) -> None:
    for levels, good in ((63, True), (64, False)):
        body = f'{{"image":{IMAGE},"deep":{marks[0] * levels}1{marks[1] * levels}}}'.encode()
        if good:
            parse(body)
        else:
            with pytest.raises(BadRequest, match="nested too deeply"):
                parse(body)


@pytest.mark.parametrize("said", ["", r"\"model\":\"a\"", r"\u006d", r"\u0041", r"\n"])
@pytest.mark.parametrize(
    "model", ['"model": "a"', '"model":"a"', '"model" :"a"', r'"\u006dodel":"a"', r'"model":"\u0061"']
)
def test_edits_beside_an_image_touch_nothing_else(model: str, said: str) -> None:
    before, after = b'{"x": 1, ', f', "image":{IMAGE}, "said":"{said}", "store":true}}'.encode()
    body = before + model.encode() + after
    doc = parse(body)
    for renamed in (rename(body, doc, "b"), splice(body, doc, [Edit("model", "b")])):
        assert parse(renamed) == {**doc, "model": "b"}
        assert renamed.startswith(before)
        assert renamed.endswith(after)
    several = splice(body, doc, [Edit("model", "b"), Edit("store", False), Edit("n", 1)])
    assert parse(several) == {**doc, "model": "b", "store": False, "n": 1}
    assert IMAGE.encode() in several


def test_the_right_model_is_found_beside_an_image() -> None:
    body = f'{{"x":{{"model":"a"}},"image":{IMAGE},"\\u006dodel":"a"}}'.encode()
    doc = parse(body)
    assert parse(rename(body, doc, "b")) == {**doc, "model": "b"}
