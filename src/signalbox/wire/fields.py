"""Checked access to the fields of a client's JSON body: the right type, or a BadRequest that names the field."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.errors import BadRequest

Fields = dict[str, Any]


def wrong(where: str, expected: str) -> BadRequest:
    """The error for a field of the wrong type or value."""
    return BadRequest(f"'{where}' must be {expected}.", param=where)


def as_object(value: object, where: str) -> Fields:
    if not isinstance(value, dict):
        raise wrong(where, "an object")
    return cast(Fields, value)


def as_array(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise wrong(where, "an array")
    return cast(list[Any], value)


def as_text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise wrong(where, "a string")
    return value


def text(doc: Fields, name: str, where: str = "") -> str | None:
    """A string, or None when it is absent or null. So do the others."""
    value = doc.get(name)
    return None if value is None else as_text(value, where + name)


def flag(doc: Fields, name: str, where: str = "") -> bool | None:
    value = doc.get(name)
    if value is not None and not isinstance(value, bool):
        raise wrong(where + name, "a boolean")
    return value


def integer(doc: Fields, name: str, low: int, high: int, where: str = "") -> int | None:
    value = doc.get(name)
    if value is None:
        return None
    if type(value) is not int:
        raise wrong(where + name, "an integer")
    if not low <= value <= high:
        raise wrong(where + name, f"between {low} and {high}")
    return value


def number(doc: Fields, name: str, low: float, high: float, where: str = "") -> float | None:
    value = doc.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong(where + name, "a number")
    if not low <= value <= high:
        raise wrong(where + name, f"between {low:g} and {high:g}")
    return value


def obj(doc: Fields, name: str, where: str = "") -> Fields | None:
    value = doc.get(name)
    return None if value is None else as_object(value, where + name)


def read_metadata(doc: Fields) -> dict[str, str] | None:
    """`metadata` of a request of either OpenAI API."""
    fields = obj(doc, "metadata")
    if fields is None:
        return None
    return {name: as_text(value, f"metadata.{name[:64]}") for name, value in fields.items()}


def array(doc: Fields, name: str, where: str = "") -> list[Any] | None:
    value = doc.get(name)
    return None if value is None else as_array(value, where + name)
