"""Renders the part of Go templates that the chart uses, so that its output can be read where helm is not installed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import yaml

_TAG = re.compile(r"{{-?\s*(.*?)\s*-?}}", re.DOTALL)
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[^\s|()]+|[|()]')
# A piece of text, or (tag, children, children of else).
Node = str | tuple[str, list["Node"], list["Node"]]


class Chart:
    """templates: name to text. Everything that is not understood is a ValueError: no template passes unread."""

    def __init__(self, templates: dict[str, str], values: dict[str, Any], chart: dict[str, Any]) -> None:
        self._defined: dict[str, list[Node]] = {}
        self._trees = {name: parse(text) for name, text in templates.items()}
        self.root = {
            "Values": values,
            "Chart": {"AppVersion": chart["appVersion"], "Name": chart["name"]},
            "Release": {"Name": "box", "Namespace": "models", "Service": "Helm"},
        }
        for tree in self._trees.values():
            for node in tree:
                if isinstance(node, tuple) and node[0].startswith("define "):
                    self._defined[json.loads(node[0].removeprefix("define "))] = node[1]

    def render(self, name: str) -> str:
        return self._nodes(self._trees[name], self.root)

    def documents(self, name: str) -> list[dict[str, Any]]:
        return [each for each in yaml.safe_load_all(self.render(name)) if each]

    def _nodes(self, nodes: list[Node], dot: Any) -> str:
        return "".join(node if isinstance(node, str) else self._block(node, dot) for node in nodes)

    def _block(self, node: tuple[str, list[Node], list[Node]], dot: Any) -> str:
        tag, children, otherwise = node
        word, _, rest = tag.partition(" ")
        if word == "define":
            return ""
        if word == "if":
            return self._nodes(children if self._value(rest, dot) else otherwise, dot)
        if word == "with":
            found = self._value(rest, dot)
            return self._nodes(children, found) if found else self._nodes(otherwise, dot)
        if word == "range":
            return "".join(self._nodes(children, each) for each in self._value(rest, dot))
        found = self._value(tag, dot)
        return "true" if found is True else "false" if found is False else str(found)

    def _value(self, expression: str, dot: Any) -> Any:
        piped: list[Any] = []
        for part in _split(_WORD.findall(expression)):
            piped = [self._call(part, dot, piped)]
        return piped[0]

    def _call(self, words: list[str], dot: Any, piped: list[Any]) -> Any:
        name, *rest = words
        functions: dict[str, Callable[..., Any]] = {
            "include": lambda template, scope: self._nodes(self._defined[template], scope),
            "toYaml": lambda found: yaml.safe_dump(found, default_flow_style=False).rstrip("\n"),
            "nindent": lambda count, text: (
                "\n" + "\n".join(" " * count + line if line else "" for line in text.split("\n"))
            ),
            "quote": lambda found: json.dumps(str(found)),
            "default": lambda usual, found: found or usual,
            "add": lambda *numbers: sum(numbers),
            "not": lambda found: not found,
        }
        arguments = [self._operand(word, dot) for word in rest] + piped
        if name in functions:
            return functions[name](*arguments)
        if arguments:
            raise ValueError(f"no function {name!r}")
        return self._operand(name, dot)

    def _operand(self, word: str, dot: Any) -> Any:
        if word.startswith('"'):
            return json.loads(word)
        if word.isdigit():
            return int(word)
        if not word.startswith("."):
            raise ValueError(f"not understood: {word!r}")
        found = dot
        for part in filter(None, word.split(".")):
            found = found[part]  # a KeyError: the template names a value that does not exist
        return found


def _split(words: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


def parse(text: str) -> list[Node]:
    """Raises ValueError when blocks are not closed."""
    top: list[Node] = []
    # (tag, its list of children, the list of its else)
    open_: list[tuple[str, list[Node], list[Node]]] = []
    into = top
    at = 0
    for match in _TAG.finditer(text):
        piece = text[at : match.start()]
        if text.startswith("{{-", match.start()):
            piece = piece.rstrip()
        if at and text[at - 3 : at] == "-}}":
            piece = piece.lstrip()
        into.append(piece)
        at = match.end()
        tag = match[1]
        if tag.split(" ")[0] in ("if", "range", "with", "define"):
            node: tuple[str, list[Node], list[Node]] = (tag, [], [])
            into.append(node)
            open_.append(node)
            into = node[1]
        elif tag == "else":
            into = open_[-1][2]
        elif tag == "end":
            ended = open_.pop()
            into = (open_[-1][2] if open_[-1][2] and ended in open_[-1][2] else open_[-1][1]) if open_ else top
        elif not tag.startswith("/*"):
            into.append((tag, [], []))
    if open_:
        raise ValueError(f"not closed: {open_[-1][0]}")
    piece = text[at:]
    into.append(piece.lstrip() if at and text[at - 3 : at] == "-}}" else piece)
    return top
