"""Changes single values of a YAML file and leaves every other byte, comments and layout included, as it is."""

from __future__ import annotations

import json
import re
from typing import Any, cast

import yaml
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9._/-]*")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off"))


class CannotEdit(ValueError):
    """The file has a form that is not edited here."""


def inline(value: object) -> str:
    """A value as YAML on one line. JSON is YAML; plain words stay plain."""
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else json.dumps(value)
    if isinstance(value, list | tuple):
        items = cast("list[object]", value)
        return f"[{', '.join(inline(each) for each in items)}]"
    if isinstance(value, dict):
        entries = cast("dict[str, object]", value)
        return "{" + ", ".join(f"{inline(key)}: {inline(each)}" for key, each in entries.items()) + "}"
    return json.dumps(value)


def set_value(text: str, path: tuple[str, ...], value: object) -> str:
    """The text with the value at a path of mapping keys replaced, or added. Raises CannotEdit."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if root is None:
        return _nested(path, value, 0) + text
    if not isinstance(root, MappingNode):
        raise CannotEdit("the file is no mapping")
    node: Node = root
    for depth, key in enumerate(path):
        if not isinstance(node, MappingNode):
            raise CannotEdit(f"{'.'.join(path[:depth])} is no mapping")
        entry = next((each for each in node.value if each[0].value == key), None)
        if entry is None:
            return _added(text, node, path[depth:], value)
        node = entry[1]
        if depth == len(path) - 1:
            after = text.index(":", entry[0].end_mark.index) + 1
            return f"{text[:after]} {inline(value)}{text[_end(node, after) :]}"
    raise CannotEdit("no path was given")


def _end(node: Node, least: int) -> int:
    """Where a node's own text ends: a block's mark is past the comments that follow it."""
    if isinstance(node, CollectionNode) and not node.flow_style:
        children = cast("list[Any]", node.value)
        if not children:
            return least
        last = children[-1]
        return _end(last[1] if isinstance(node, MappingNode) else last, least)
    if isinstance(node, ScalarNode) and node.value == "" and node.style is None:
        return max(least, node.start_mark.index) if node.start_mark.index == node.end_mark.index else least
    return node.end_mark.index


def _added(text: str, parent: MappingNode, path: tuple[str, ...], value: object) -> str:
    """A new key as the last one of its mapping, in the mapping's own form."""
    for key in reversed(path[1:]):
        value = {key: value}
    if parent.flow_style:
        close = parent.end_mark.index - 1
        before = text[:close].rstrip()
        comma = "" if not parent.value else ", "
        return f"{before}{comma}{inline(path[0])}: {inline(value)}{text[close:]}"
    if not parent.value:
        raise CannotEdit("a mapping without entries")
    end = _end(parent, parent.start_mark.index)
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    indent = " " * parent.start_mark.column
    return f"{text[:line_end]}\n{indent}{inline(path[0])}: {inline(value)}{text[line_end:]}"


def _nested(path: tuple[str, ...], value: object, depth: int) -> str:
    indent = "  " * depth
    if len(path) == 1:
        return f"{indent}{inline(path[0])}: {inline(value)}\n"
    return f"{indent}{inline(path[0])}:\n{_nested(path[1:], value, depth + 1)}"
