"""From the tree of a file to the declared types: every value checked against its type, every finding collected."""

from __future__ import annotations

import datetime
import hashlib
import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from math import isfinite
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import inspect

from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.references import ReferenceProblem, References, is_reference
from signalbox.config.yaml12 import Mapping, Node, Scalar, Sequence, shown

CERTIFICATES_BYTES_MAX = 4 * 1024 * 1024

_T = TypeVar("_T", bound=msgspec.Struct)


class _Wrong:
    """Marks a value that could not be read; its problem is on record already."""


_WRONG: Final = _Wrong()
# An address that may hold a password and holds none: `scheme://user@host:port/path`.
_PLAIN_ADDRESS = re.compile(r"[a-z]+://([^@:/?#]*@)?[^@?#]*")


class Shape:
    """Reads one document. inline_secrets: where a secret stands in the file itself, instead of a reference."""

    def __init__(self, problems: Problems, references: References) -> None:
        self._problems = problems
        self._references = references
        self.inline_secrets: list[Path] = []
        # The text of each secret as written, so that the version can tell references apart without any secret.
        self.secret_texts: dict[Path, str] = {}
        # A hash of each file of certificates, so that a replaced one is a changed configuration.
        self.certificates: dict[Path, str] = {}

    def read(self, node: Node, kind: type[_T], path: Path = ()) -> _T:
        """An instance of `kind` without the parts that were wrong. path: where the node stands in its document. Raises
        ConfigError when nothing is left."""
        value = self._value(node, _type_info(kind), path, None)
        if value is _WRONG:
            self._problems.raise_if_any()
        return cast(_T, value)

    def _value(self, node: Node, info: inspect.Type, path: Path, extra: dict[str, Any] | None) -> Any:
        while isinstance(info, inspect.Metadata):
            extra = {**(extra or {}), **cast("dict[str, Any]", info.extra or {})}
            info = info.type
        match info:
            case inspect.UnionType():
                return self._union(node, info, path, extra)
            case inspect.StructType():
                return self._struct(node, info, path)
            case inspect.DictType():
                return self._dict(node, info, path)
            case inspect.ListType():
                return self._list(node, info, path)
            case _:
                return self._scalar(node, info, path, extra or {})

    def _wrong(self, path: Path, what: str, fix: str) -> _Wrong:
        self._problems.add(path, what, fix)
        return _WRONG

    # --- containers ---

    def _struct(self, node: Node, info: inspect.StructType, path: Path) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong(path, f"must be a mapping, not {_seen(node)}", f"Its keys are {_keys(info)}")
        fields = {field.encode_name: field for field in info.fields}
        values: dict[str, Any] = {}
        complete = True
        for key, (line, child) in node.entries.items():
            at = (*path, key)
            self._problems.lines[at] = line
            if key == info.tag_field:
                continue
            field = fields.get(key)
            if field is None:
                self._problems.add(at, "unknown key", did_you_mean(key, fields, otherwise="Known keys"))
                continue
            value = self._value(child, field.type, at, None)
            if value is not _WRONG:
                values[field.name] = value
            elif field.required:
                complete = False
        for name, field in fields.items():
            if field.required and name not in node.entries:
                self._problems.add((*path, name), "is missing", f"Add `{name}`{_purpose(field.type)}")
                complete = False
        return info.cls(**values) if complete else _WRONG

    def _dict(self, node: Node, info: inspect.DictType, path: Path) -> Any:
        if not isinstance(node, Mapping):
            return self._wrong(
                path, f"must be a mapping, not {_seen(node)}", "Write `name: …` on indented lines below it"
            )
        if info.max_length is not None and len(node.entries) > info.max_length:
            return self._wrong(path, f"holds {len(node.entries)} entries", f"At most {info.max_length} are read")
        values: dict[Any, Any] = {}
        for key, (line, child) in node.entries.items():
            at = (*path, key)
            self._problems.lines[at] = line
            name = self._value(Scalar(key, key, line), info.key_type, at, None)
            value = self._value(child, info.value_type, at, None)
            if name is not _WRONG and value is not _WRONG:
                values[key] = value
        return values

    def _list(self, node: Node, info: inspect.ListType, path: Path) -> Any:
        if not isinstance(node, Sequence):
            example = f" such as [{node.text}]" if isinstance(node, Scalar) and 0 < len(node.text) < 40 else ""
            return self._wrong(path, f"must be a list, not {_seen(node)}", f"Write a list{example}")
        if info.max_length is not None and len(node.items) > info.max_length:
            return self._wrong(path, f"holds {len(node.items)} entries", f"At most {info.max_length} are read")
        values: list[Any] = []
        for position, child in enumerate(node.items):
            at = (*path, position)
            self._problems.lines[at] = child.line
            values.append(self._value(child, info.item_type, at, None))
        return _WRONG if any(value is _WRONG for value in values) else values

    def _union(self, node: Node, info: inspect.UnionType, path: Path, extra: dict[str, Any] | None) -> Any:
        """One of several types: decided by the form of the node, so that the findings inside it are about that one."""
        members = list(info.types)
        if any(isinstance(member, inspect.NoneType) for member in members):
            if isinstance(node, Scalar) and node.value is None:
                return None
            members = [member for member in members if not isinstance(member, inspect.NoneType)]
        if len(members) > 1:
            form = type(node)
            members, declared = [member for member in members if _form(member) is form], members
            if not members:
                return self._wrong(path, f"cannot be {_seen(node)}", f"Write {_alternatives(declared)}")
        if isinstance(members[0], inspect.StructType) and members[0].tag_field:
            return self._tagged(cast(Mapping, node), members, path)
        return self._value(node, members[0], path, extra)

    def _tagged(self, node: Mapping, members: list[inspect.Type], path: Path) -> Any:
        """One of several mappings: the one that its tag names."""
        kinds = {str(info.tag): info for info in members if isinstance(info, inspect.StructType)}
        key = next(str(info.tag_field) for info in kinds.values())
        if key not in node.entries:
            return self._wrong((*path, key), "is missing", f"Add `{key}`: one of {', '.join(kinds)}")
        line, child = node.entries[key]
        self._problems.lines[(*path, key)] = line
        named = child.text if isinstance(child, Scalar) else ""
        if named not in kinds:
            return self._wrong((*path, key), f"{shown(named)} is not one of its values", did_you_mean(named, kinds))
        return self._struct(node, kinds[named], path)

    # --- single values ---

    def _scalar(self, node: Node, info: inspect.Type, path: Path, extra: dict[str, Any]) -> Any:
        if not isinstance(node, Scalar):
            return self._wrong(path, f"must be {_wanted(info)}, not {_seen(node)}", "Write a single value")
        if isinstance(info, inspect.CustomType):
            return self._secret(node, path, document=bool(extra.get("document")))
        value = node.value
        if value is None:
            return self._wrong(path, "is empty", f"Write {_wanted(info)}, or leave the key out")
        match info:
            case inspect.LiteralType():
                return self._literal(node, info, path)
            case inspect.StrType():
                return self._text(node, info, path, extra)
            case inspect.BoolType():
                return value if isinstance(value, bool) else self._wrong_type(node, info, path, "Write true or false")
            case inspect.DecimalType():
                return self._decimal(node, info, path)
            case inspect.IntType() | inspect.FloatType():
                return self._number(node, info, path)
            case _:
                raise TypeError(f"the schema uses a type that cannot be read: {info}")

    def _wrong_type(self, node: Scalar, info: inspect.Type, path: Path, fix: str) -> _Wrong:
        return self._wrong(path, f"must be {_wanted(info)}, not {_seen(node)}", fix)

    def _literal(self, node: Scalar, info: inspect.LiteralType, path: Path) -> Any:
        values = [str(value) for value in info.values]
        if node.text in values:
            return node.text
        return self._wrong(path, f"{shown(node.text)} is not one of its values", did_you_mean(node.text, values))

    def _text(self, node: Scalar, info: inspect.StrType, path: Path, extra: dict[str, Any]) -> Any:
        if not isinstance(node.value, str):
            return self._wrong(path, f"must be text, not {_seen(node)}", f'Quote it: "{node.text}"')
        text = node.value
        if extra.get("reference"):
            try:
                text = self._references.text(text)
            except ReferenceProblem as problem:
                return self._wrong(path, problem.what, problem.fix)
        elif "${" in text:
            return self._wrong(
                path, "environment variables are not read here", "`${NAME}` works in api_key, base_url, replicas, proxy"
            )
        if not text.isprintable():
            return self._wrong(path, "holds a line break or a control character", "Write plain text on one line")
        if (info.min_length and len(text) < info.min_length) or (info.max_length and len(text) > info.max_length):
            return self._wrong(
                path, f"is {len(text)} characters long", f"Write {info.min_length or 0} to {info.max_length} characters"
            )
        if info.pattern is not None and not _pattern(info.pattern).search(text):
            return self._wrong(path, f"{shown(text)} is not allowed", f"Write {extra.get('hint', info.pattern)}")
        if extra.get("date"):
            try:
                datetime.date.fromisoformat(text)
            except ValueError:
                return self._wrong(path, f"{shown(text)} is no day of the calendar", "Write a date such as 2027-03-31")
        return self._located(text, extra["place"], path) if "place" in extra else text

    def _located(self, text: str, place: str, path: Path) -> Any:
        """A path as every user of the configuration finds it, whatever folder a process was started in."""
        full = self._references.located(text, watched=place != "named")
        if place != "certificates":
            return full
        try:
            self.certificates[path] = _digest_of_pem(self._references.content(full, CERTIFICATES_BYTES_MAX))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return self._wrong(path, f"cannot be used: {reason}", "Name a PEM file of certificates")
        return full

    def _secret(self, node: Scalar, path: Path, *, document: bool) -> Any:
        if not node.text or node.value is None:
            return self._wrong(path, "is empty", "Write ${NAME} or file:/path, or leave the key out")
        if is_reference(node.text):
            self.secret_texts[path] = node.text
        elif not _PLAIN_ADDRESS.fullmatch(node.text):
            self.inline_secrets.append(path)
        try:
            return self._references.secret(node.text, document=document)
        except ReferenceProblem as problem:
            return self._wrong(path, problem.what, problem.fix)

    def _decimal(self, node: Scalar, info: inspect.Type, path: Path) -> Any:
        """Money: from the text, so that 0.1 is a tenth and not the nearest binary fraction."""
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return self._wrong_type(node, info, path, "Write a decimal such as 0.15")
        try:
            value = Decimal(node.text) if isinstance(node.value, float) else Decimal(node.value)
        except InvalidOperation:
            return self._wrong_type(node, info, path, "Write a decimal such as 0.15")
        if not value.is_finite() or value < 0:
            return self._wrong(path, f"{shown(node.text)} is not a price", "Write 0 or more, in US dollars")
        return value

    def _number(self, node: Scalar, info: inspect.IntType | inspect.FloatType, path: Path) -> Any:
        value = node.value
        whole = isinstance(info, inspect.IntType)
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and not isinstance(value, int)):
            return self._wrong_type(node, info, path, f"Write {_range(info)}")
        if not isfinite(value) or _outside(value, info):
            return self._wrong(path, f"{shown(node.text)} is out of range", f"Write {_range(info)}")
        return value if whole else float(value)


def _digest_of_pem(content: bytes) -> str:
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ValueError("it holds no certificate")
    return hashlib.sha256(content).hexdigest()


def _outside(value: float, info: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (info.ge is not None and value < info.ge)
        or (info.gt is not None and value <= info.gt)
        or (info.le is not None and value > info.le)
        or (info.lt is not None and value >= info.lt)
    )


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    what = "a whole number" if isinstance(info, inspect.IntType) else "a number"
    low = f"above {_short(info.gt)}" if info.gt is not None else f"of {_short(info.ge)} or more"
    return f"{what} {low}, at most {_short(info.le)}" if info.le is not None else f"{what} {low}"


def _short(number: float | None) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)


def _wanted(info: inspect.Type) -> str:
    match info:
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType() | inspect.DecimalType():
            return "a number"
        case inspect.BoolType():
            return "true or false"
        case inspect.LiteralType():
            return "one of " + ", ".join(str(value) for value in info.values)
        case _:
            return "text"


def _seen(node: Node) -> str:
    """What a node is, in words. The value of a scalar is never shown here: it may be a misplaced secret."""
    match node:
        case Mapping():
            return "a mapping"
        case Sequence():
            return "a list"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return f"the truth value {node.text}"
        case Scalar(value=int() | float()):
            return f"the number {node.text}"
        case _:
            return "text"


def _form(info: inspect.Type) -> type[Node]:
    """The form that a value of this type has in a file."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    if isinstance(info, inspect.StructType | inspect.DictType):
        return Mapping
    return Sequence if isinstance(info, inspect.ListType) else Scalar


def _alternatives(members: list[inspect.Type]) -> str:
    texts: list[str] = []
    for member in members:
        info = member
        while isinstance(info, inspect.Metadata):
            info = info.type
        if isinstance(info, inspect.StructType):
            texts.append(f"a mapping with {_keys(info)}")
        else:
            texts.append("a list" if isinstance(info, inspect.ListType) else _wanted(info))
    return ", or ".join(texts)


def _keys(info: inspect.StructType) -> str:
    return ", ".join(field.encode_name for field in info.fields)


def _purpose(info: inspect.Type) -> str:
    """The setting's own sentence, so that a missing key explains itself."""
    if not isinstance(info, inspect.Metadata):
        return ""
    schema = cast("dict[str, Any]", info.extra_json_schema or {})
    description = str(schema.get("description", "")).rstrip(".")
    return f": {description[:1].lower()}{description[1:]}" if description else ""


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    # `$` would let a line break follow; the schema's patterns mean the very end.
    return re.compile(text.removesuffix("$") + r"\Z")


@lru_cache(maxsize=8)
def _type_info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)
