"""YAML read strictly by the core schema of YAML 1.2, every value with the line that it stands on.

`no`, `yes`, `on`, `off` and dates are text. Refused, each with its line: duplicate keys, tags, several documents,
and anchors with their aliases (a file of this size gains little from them, and expansion bombs need them).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec
import yaml

from signalbox.core.errors import ConfigError

BYTES_MAX = 4 * 1024 * 1024
DEPTH_MAX = 32
NODES_MAX = 400_000
# A longer plain number is a mistake, and would be slow to convert.
NUMBER_CHARS_MAX = 40

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL_FLOAT = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Scalar(msgspec.Struct, frozen=True):
    """value: after the core schema's rules. text: as written, so that a price stays an exact decimal."""

    value: bool | int | float | str | None
    text: str
    line: int


class Sequence(msgspec.Struct, frozen=True):
    items: list[Node]
    line: int


class Mapping(msgspec.Struct, frozen=True):
    """entries: key to (line of the key, value). A key is always text, whatever it looks like."""

    entries: dict[str, tuple[int, Node]]
    line: int


Node = Scalar | Sequence | Mapping


class _Refused(Exception):
    """One finding that ends the reading: what follows it cannot be trusted to mean what it seems to."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def parse(content: bytes, name: str) -> Node:
    """The document's root. Raises ConfigError with `name:line: what. fix` for the first thing that is not strict."""
    if len(content) > BYTES_MAX:
        raise ConfigError([f"{name}:1: the file is larger than {BYTES_MAX} bytes. Move out what is no configuration."])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{name}:{line}: the file is not UTF-8. Save it as UTF-8."]) from None
    try:
        return _Reader(text).document()
    except _Refused as refused:
        raise ConfigError([f"{name}:{refused.line}: {refused.what}"]) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        reason = error.problem or error.context or "the text cannot be read"
        raise ConfigError([f"{name}:{line}: not valid YAML: {reason}. {_advice(reason)}"]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError([f"{name}:{line}: a character that YAML does not allow. Remove it."]) from None
    except yaml.YAMLError:
        raise ConfigError([f"{name}:1: not valid YAML. Check brackets, quotes and indentation."]) from None


def _advice(reason: str) -> str:
    if "cannot start any token" in reason:
        return "Indent with spaces, not tabs, and quote text that begins with @, % or a backquote."
    if "mapping values are not allowed" in reason:
        return "Quote a value that holds ': ', and check the indentation."
    return "Check brackets, quotes and indentation near this line."


class _Reader:
    """Builds the tree from parser events; depth and number of nodes are bounded while it grows."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=_Loader))
        self._nodes = 0

    def document(self) -> Node:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if isinstance(start, yaml.StreamEndEvent):
            return Mapping({}, 1)
        if isinstance(start, yaml.DocumentStartEvent) and start.version not in (None, (1, 2)):
            raise _Refused(_line(start), "only YAML 1.2 is read. Remove the %YAML line.")
        root = self._node(next(self._events), 0)
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise _Refused(_line(after), "a second document begins here. Keep one document in the file.")
        if isinstance(root, Scalar) and root.value is None:
            return Mapping({}, root.line)
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        line = _line(event)
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise _Refused(line, f"more than {NODES_MAX} values. The file is not a plausible configuration.")
        if depth > DEPTH_MAX:
            raise _Refused(line, f"nested deeper than {DEPTH_MAX} levels. Nothing in the schema is that deep.")
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(line, f"alias *{event.anchor} is not read here. Write the value out where it is used.")
        if getattr(event, "anchor", None) is not None:
            raise _Refused(line, f"anchor &{getattr(event, 'anchor', '')} is not read here. Remove it.")
        if getattr(event, "tag", None) is not None:
            raise _Refused(line, f"tag {getattr(event, 'tag', '')} is not read here. Remove it.")
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(line, depth)
        return self._mapping(line, depth)

    def _sequence(self, line: int, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return Sequence(items, line)

    def _mapping(self, line: int, depth: int) -> Mapping:
        entries: dict[str, tuple[int, Node]] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._node(event, depth + 1)
            if not isinstance(key, Scalar):
                raise _Refused(key.line, "a key must be plain text. Quote braces and brackets in keys.")
            value = self._node(next(self._events), depth + 1)
            if key.text in entries:
                first = entries[key.text][0]
                raise _Refused(
                    key.line, f"key {shown(key.text)} is given twice, first on line {first}. Keep one of the two."
                )
            entries[key.text] = (key.line, value)
        return Mapping(entries, line)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _scalar(event: yaml.ScalarEvent, line: int) -> Scalar:
    text: str = event.value
    if not event.implicit[0]:  # quoted or block text is never anything but text
        return Scalar(text, text, line)
    return Scalar(_resolve(text, line), text, line)


def _resolve(text: str, line: int) -> bool | int | float | str | None:
    """The value of a plain scalar by the core schema (YAML 1.2.2, section 10.3.2)."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INT.fullmatch(text) or _OCTAL.fullmatch(text) or _HEX.fullmatch(text):
        if len(text) > NUMBER_CHARS_MAX:
            raise _Refused(line, f"a number of {len(text)} digits. Quote it if it is text.")
        base = 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10
        return int(text, base)
    if _FLOAT.fullmatch(text):
        if len(text) > NUMBER_CHARS_MAX:
            raise _Refused(line, f"a number of {len(text)} digits. Quote it if it is text.")
        return float(text)
    if _SPECIAL_FLOAT.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def shown(text: str) -> str:
    """Text of the file as it may stand in a message: quoted, short, no control characters."""
    printable = "".join(char if char.isprintable() else "?" for char in text[:60])
    return f"'{printable}{'…' if len(text) > 60 else ''}'"
