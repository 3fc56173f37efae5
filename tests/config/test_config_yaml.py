"""The YAML reader: the core schema's scalars, lines, limits, and that nothing makes it fail in another way."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from signalbox.config.yaml12 import BYTES_MAX, NODES_MAX, Mapping, Node, Scalar, Sequence, parse
from signalbox.core.errors import ConfigError


def plain(node: Node) -> Any:
    match node:
        case Scalar():
            return node.value
        case Sequence():
            return [plain(item) for item in node.items]
        case Mapping():
            return {key: plain(value) for key, (_, value) in node.entries.items()}


def scalar(text: str) -> Any:
    return plain(parse(f"key: {text}\n".encode(), "f"))["key"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("Null", None), ("nULL", "nULL"),
        ("true", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False),
        ("no", "no"), ("yes", "yes"), ("on", "on"), ("off", "off"), ("y", "y"), ("NO", "NO"),
        ("0", 0), ("-7", -7), ("+7", 7), ("0o17", 15), ("0x1F", 31), ("017", 17), ("1_000", "1_000"),
        ("0b11", "0b11"), ("1:30", "1:30"), ("190:20:30", "190:20:30"),
        ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("-1.5e-3", -0.0015), ("1e", "1e"), (".", "."),
        (".inf", math.inf), ("-.INF", -math.inf), ("2027-03-31", "2027-03-31"), ("=", "="),
        ('"no"', "no"), ("'1'", "1"), ('"true"', "true"), ("'~'", "~"), ("|-\n  7", "7"), ("eu/de", "eu/de"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_the_core_schema(text: str, value: object) -> None:
    found = scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(scalar(".nan"))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert plain(parse(b"7: a\ntrue: b\n~: c\n1.5: d\n", "f")) == {"7": "a", "true": "b", "~": "c", "1.5": "d"}


def test_every_value_knows_its_line() -> None:
    root = parse(b"a:\n  b:\n    - 1\n    - 2\n# note\nc: 3\n", "f")
    assert isinstance(root, Mapping)
    line, inner = root.entries["a"]
    assert line == 1
    assert isinstance(inner, Mapping)
    line, items = inner.entries["b"]
    assert line == 2
    assert isinstance(items, Sequence)
    assert [item.line for item in items.items] == [3, 4]
    assert root.entries["c"][0] == 6


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~\n", "---\n...\n", "\ufeff"])
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    assert plain(parse(text.encode(), "f")) == {}


def test_a_file_that_is_too_large_is_refused_unread() -> None:
    with pytest.raises(ConfigError, match=r"f:1: the file is larger"):
        parse(b" " * (BYTES_MAX + 1), "f")


def test_too_many_values_are_refused() -> None:
    with pytest.raises(ConfigError, match="more than"):
        parse(b"[" + b"1," * (NODES_MAX + 1) + b"]", "f")


def test_text_that_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(ConfigError, match="f:2: the file is not UTF-8"):
        parse(b"a: 1\nb: \xff\n", "f")


TEXT = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc: #'\"{}", max_size=6), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=5), JSON, max_size=4))
def test_json_is_read_as_json(document: dict[str, Any]) -> None:
    assert plain(parse(json.dumps(document, ensure_ascii=False).encode(), "f")) == document


@given(st.binary(max_size=200) | st.text("abk:- \n\t[]{}&*!|>'\"%@`#,?~.0x\\", max_size=200).map(str.encode))
@example(b"\xef\xbb\xbf")
@example(b"a: *b")
@example(b"? ")
@example(b"%TAG ! tag:x,2000:\n---\n!a b")
@example(b"!")
@example(b"- ! a")
def test_anything_is_read_or_refused_with_a_line(content: bytes) -> None:
    problems: list[str] = []
    try:
        parse(content, "f")
    except ConfigError as error:
        problems = error.problems
    assert all(problem.startswith("f:") and problem.split(":")[1].isdigit() for problem in problems)
