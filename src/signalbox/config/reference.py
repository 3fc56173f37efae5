"""The schema for other readers: JSON Schema for editors, and the reference page for people."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any, cast

import msgspec
from msgspec import inspect

from signalbox.config.schema import Config
from signalbox.core.secret import Secret

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """JSON Schema of signalbox.yaml."""
    schema = msgspec.json.schema(Config, schema_hook=_secret)
    for entry in schema["$defs"].values():
        for setting in entry.get("properties", {}).values():
            # Only what tells mappings of one list apart is generated, and has no sentence of its own.
            setting.setdefault("description", "Which one it is.")
    return {"$schema": DIALECT, "title": "signalbox.yaml", **cast("dict[str, Any]", _with_numbers(schema))}


def _secret(kind: type) -> dict[str, Any]:
    if kind is Secret:
        return {"type": "string", "minLength": 1}
    raise NotImplementedError


def _flowing(key: str, value: object) -> object:
    """A sentence without the line ends and indents of the source, which differ from one Python to another."""
    return " ".join(value.split()) if key == "description" and isinstance(value, str) else value


def _with_numbers(schema: object) -> object:
    """Prices are written as numbers and read as exact decimals; the generator knows decimals as text only."""
    if isinstance(schema, dict):
        entries = {key: _flowing(key, value) for key, value in cast("dict[str, object]", schema).items()}
        if entries.get("format") == "decimal":
            return {**{key: value for key, value in entries.items() if key != "format"}, "type": "number", "minimum": 0}
        return {key: _with_numbers(value) for key, value in entries.items()}
    if isinstance(schema, list):
        return [_with_numbers(value) for value in cast("list[object]", schema)]
    return schema


def reference_markdown() -> str:
    """The text of docs/reference/config.md."""
    out = [
        "# signalbox.yaml",
        "",
        "Generated from the schema; `signalbox schema` prints the same as JSON Schema.",
        "",
        "YAML 1.2 core schema: `no`, `yes`, `on`, `off` and dates are text. Unknown and duplicate keys, tags, anchors"
        " and aliases are refused. `${NAME}` reads an environment variable in `api_key`, `base_url`, `replicas` and"
        " `proxy`; `api_key` also takes `file:/path`. Units are in the names. Money is in US dollars.",
        "",
    ]
    for info in _structs():
        out += _section(info)
    return "\n".join(out)


def _structs() -> list[inspect.StructType]:
    """Every mapping of the file once, the file itself first, in the order in which they are met."""
    root = cast(inspect.StructType, inspect.type_info(Config))
    found: dict[type, inspect.StructType] = {}
    waiting = [root]
    while waiting:
        info = waiting.pop(0)
        if info.cls in found:
            continue
        found[info.cls] = info
        for field in info.fields:
            waiting += _inside(field.type)
    return list(found.values())


def _inside(info: inspect.Type) -> list[inspect.StructType]:
    match info:
        case inspect.Metadata():
            return _inside(info.type)
        case inspect.StructType():
            return [info]
        case inspect.DictType():
            return _inside(info.value_type)
        case inspect.ListType():
            return _inside(info.item_type)
        case inspect.UnionType():
            return [found for member in info.types for found in _inside(member)]
        case _:
            return []


def _section(info: inspect.StructType) -> list[str]:
    title = "The file" if info.cls is Config else _title(info)
    out = [f"## {title}", ""]
    if info.cls is not Config:
        out += [cleandoc(info.cls.__doc__ or ""), ""]
    out += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for field in info.fields:
        kind, limits = _words(field.type)
        row = (f"`{field.encode_name}`", f"{kind}{limits}", _default(field), _description(field.type))
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return [*out, ""]


def _title(info: inspect.StructType) -> str:
    return info.cls.__name__.lower()


def _default(field: inspect.Field) -> str:
    if field.required:
        return "required"
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
        if isinstance(value, msgspec.Struct):
            return ""
    else:
        value = field.default
    if value is None or value in ({}, []):
        return ""
    return f"`{msgspec.json.encode(value).decode()}`"


def _description(info: inspect.Type) -> str:
    schema = cast("dict[str, Any]", (info.extra_json_schema if isinstance(info, inspect.Metadata) else None) or {})
    return str(schema.get("description", ""))


def _words(info: inspect.Type) -> tuple[str, str]:
    """(type, limits) in words."""
    match info:
        case inspect.Metadata():
            return _words(info.type)
        case inspect.StructType():
            return f"[{_title(info)}](#{_title(info)})", ""
        case inspect.DictType():
            return f"mapping of names to {_words(info.value_type)[0]}", _most(info.max_length)
        case inspect.ListType():
            return f"list of {_words(info.item_type)[0]}", _most(info.max_length)
        case inspect.UnionType():
            members = [_words(member) for member in info.types if not isinstance(member, inspect.NoneType)]
            return " or ".join(kind for kind, _ in members), "".join(limits for _, limits in members)
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in info.values), ""
        case inspect.BoolType():
            return "true or false", ""
        case inspect.IntType() | inspect.FloatType():
            return ("whole number" if isinstance(info, inspect.IntType) else "number"), _range(info)
        case inspect.DecimalType():
            return "decimal", ", 0 or more"
        case inspect.CustomType():
            return "secret", ""
        case _:
            return "text", ""


def _most(length: int | None) -> str:
    return f", at most {length}" if length is not None else ""


def _range(info: inspect.IntType | inspect.FloatType) -> str:
    low = f", above {info.gt:g}" if info.gt is not None else f", from {info.ge}" if info.ge is not None else ""
    if info.le is None:
        return low
    return f"{low} to {info.le:g}" if isinstance(info, inspect.FloatType) else f"{low} to {info.le}"
