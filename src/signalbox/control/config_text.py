"""The configuration's text as people may see it: secrets that stand in the file itself are covered, and put back."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import cast

import yaml
from msgspec import inspect
from yaml.nodes import MappingNode, Node, ScalarNode

from signalbox.config.schema import Config
from signalbox.core.secret import Secret

# Where a secret is told from elsewhere, the place is no secret.
_ELSEWHERE = re.compile(r"(\$\{[A-Za-z_][A-Za-z0-9_]*\}|file:.*)")
_LOGIN = re.compile(r"://[^/\s]*:[^/\s]*@")
_COVER = re.compile(r"\(hidden (\d{1,6})\)")


@cache
def secret_keys() -> frozenset[str]:
    """Names of settings whose value is a secret, anywhere in the schema."""
    found: set[str] = set()
    _gather(inspect.type_info(Config), found, set())
    return frozenset(found)


def _gather(about: object, found: set[str], seen: set[type]) -> bool:
    """Adds the names of fields that hold a secret; whether the type itself is one."""
    if isinstance(about, inspect.CustomType):
        return about.cls is Secret
    if isinstance(about, inspect.StructType):
        if about.cls not in seen:
            seen.add(about.cls)
            for field in about.fields:
                if _gather(field.type, found, seen):
                    found.add(field.encode_name)
        return False
    inner: list[object] = []
    if isinstance(about, inspect.UnionType):
        inner = list(about.types)
    elif isinstance(about, inspect.ListType | inspect.SetType | inspect.VarTupleType):
        inner = [about.item_type]
    elif isinstance(about, inspect.DictType):
        inner = [about.value_type]
    elif isinstance(about, inspect.Metadata):
        inner = [about.type]
    # Each one is looked into, also after one is found.
    secret = [_gather(each, found, seen) for each in inner]
    return any(secret)


class Covers:
    """Remembers what it covered: the same secret has the same number in every text."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def cover(self, text: str) -> str:
        """The text with `(hidden n)` for each secret. What cannot be read as YAML is covered line by line."""
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError:
            return self._roughly(text)
        spots: list[tuple[int, int]] = []
        if root is not None:
            _find(root, "", spots, set())
        for start, end in sorted(spots, reverse=True):
            text = text[:start] + self._number(text[start:end]) + text[end:]
        return text

    def uncover(self, text: str) -> str:
        """Puts back what was covered; numbers that nobody gave out stay as they are."""

        def secret(found: re.Match[str]) -> str:
            number = int(found[1])
            return self._secrets[number - 1] if 1 <= number <= len(self._secrets) else found[0]

        return _COVER.sub(secret, text)

    def _number(self, secret: str) -> str:
        if secret not in self._secrets:
            self._secrets.append(secret)
        return f"(hidden {self._secrets.index(secret) + 1})"

    def _roughly(self, text: str) -> str:
        keys = "|".join(map(re.escape, sorted(secret_keys())))
        pattern = re.compile(rf"((?:{keys})\s*:\s*)([^\n,}}]+)")
        return pattern.sub(lambda found: found[1] + self._number(found[2]), text)


def _find(node: Node, key: str, spots: list[tuple[int, int]], seen: set[int]) -> None:
    """Where scalars stand that are secrets, or addresses with a password in them."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, ScalarNode):
        value = str(node.value)
        secret = key in secret_keys() and value and not _ELSEWHERE.fullmatch(value) and not _COVER.fullmatch(value)
        if secret or _LOGIN.search(value):
            spots.append((node.start_mark.index, node.end_mark.index))
    elif isinstance(node, MappingNode):
        for name, value in cast("list[tuple[Node, Node]]", node.value):
            # Names under a setting whose values are secrets, such as headers, are the file's own.
            inner = str(name.value) if isinstance(name, ScalarNode) and key not in secret_keys() else key
            _find(value, inner, spots, seen)
    else:
        for child in cast("list[Node]", node.value):
            _find(child, key, spots, seen)


def digest_of(content: bytes) -> str:
    """What a change names as the text that it was made for."""
    return hashlib.sha256(content).hexdigest()[:16]
