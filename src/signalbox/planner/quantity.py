"""A number of a plan with where it comes from, and the units in which people may write it.

In a file a quantity is a number, a text with a unit (`800 ms`, `2.5k`, `$3/h`) or a mapping with `value`, `p10`, `p90`,
`provenance` and `source`; or with `p50` and `p95` of single calls, whose mean is meant. `lift` turns them all into the
mapping with a value before the file is read, so that one reader with one kind of message serves them all.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, Struct, inspect

from signalbox.config.problems import Path, Problems
from signalbox.config.schema_words import Date, Text
from signalbox.config.yaml12 import Mapping, Node, Scalar, Sequence, shown

Provenance = Literal["measured", "declared", "default"]

# How far eight out of ten such numbers lie from the truth, as a share, where nobody gave a range: a cautious default
# of ours. It only feeds the ranges that a plan reports, never its median.
SPREAD: dict[str, float] = {"measured": 0.05, "declared": 0.20, "default": 0.35}


# Numbers of a quantity in its file; of these p50 and p95 become its value.
NUMBERS = frozenset(("value", "p10", "p90", "p50", "p95"))
# The ninety-fifth percentile of a standard normal distribution.
Z95 = 1.6448536269514722

Amount = Annotated[float, Meta(ge=0, le=1e18)]


class Quantity(Struct, frozen=True, forbid_unknown_fields=True):
    """A number with where it comes from. In a file also a plain number, or text with a unit."""

    value: Annotated[Amount, Meta(description="The number itself, the median of what is expected.")]
    p10: Annotated[Amount | None, Meta(description="One in ten is lower.")] = None
    p90: Annotated[Amount | None, Meta(description="One in ten is higher.")] = None
    provenance: Annotated[
        Provenance, Meta(description="measured (a ledger, a benchmark), declared (somebody says so) or default (ours).")
    ] = "declared"
    source: Annotated[Text | None, Meta(description="Where it was measured or who says so.")] = None
    as_of: Annotated[Date | None, Meta(description="The day on which that was so.")] = None

    @property
    def spread(self) -> float:
        """How far eight out of ten lie from the median, as a share of it."""
        if self.value > 0 and (self.p10 is not None or self.p90 is not None):
            low = self.p10 if self.p10 is not None else self.value
            high = self.p90 if self.p90 is not None else self.value
            return max(abs(high - self.value), abs(self.value - low)) / self.value
        return SPREAD[self.provenance]


def declared(value: float, source: str | None = None) -> Quantity:
    return Quantity(value, source=source)


def measured(value: float, source: str, as_of: str | None = None) -> Quantity:
    return Quantity(value, provenance="measured", source=source, as_of=as_of)


def default(value: float, source: str) -> Quantity:
    return Quantity(value, provenance="default", source=source)


# --- units ---

_HOUR_S, _DAY_S = 3600.0, 86_400.0
# What each unit of a setting may be written as, and the factor that leads to it.
UNITS: dict[str, dict[str, float]] = {
    "ms": {"ms": 1, "s": 1000, "sec": 1000, "min": 60_000},
    "h": {"h": 1, "hour": 1, "hours": 1, "min": 1 / 60, "d": 24, "day": 24, "days": 24, "s": 1 / _HOUR_S},
    "tokens": {"tokens": 1, "token": 1, "tok": 1},
    "per day": {"/day": 1, "/d": 1, "per day": 1, "/h": 24, "/s": _DAY_S, "/month": 12 / 365, "/week": 1 / 7},
    "tokens per day": {"tokens/day": 1, "tok/day": 1, "/day": 1, "tokens/month": 12 / 365, "tokens/s": _DAY_S},
    "share": {"%": 0.01},
    "USD": {"usd": 1, "$": 1},
    "USD/h": {"usd/h": 1, "$/h": 1, "usd/hour": 1, "$/hour": 1, "usd/month": 12 / 8760, "$/month": 12 / 8760},
    "USD/month": {"usd/month": 1, "$/month": 1, "usd/year": 1 / 12, "$/year": 1 / 12},
    "USD/year": {"usd/year": 1, "$/year": 1, "usd/month": 12, "$/month": 12},
    "USD/kWh": {"usd/kwh": 1, "$/kwh": 1, "usd/mwh": 0.001, "$/mwh": 0.001},
    "USD/Mtok": {"usd/mtok": 1, "$/mtok": 1, "$/m": 1, "usd/m": 1, "$/ktok": 1000, "$/k": 1000},
    "requests/s": {"requests/s": 1, "req/s": 1, "rps": 1, "/s": 1, "/min": 1 / 60},
    "tokens/s": {"tokens/s": 1, "tok/s": 1, "/s": 1},
    "years": {"years": 1, "year": 1, "y": 1, "months": 1 / 12},
    "W": {"w": 1, "kw": 1000},
    "FTE": {"fte": 1},
    "": {},
}
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
_WRITTEN = re.compile(r"(\$?)\s*([0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)\s*([kKMBT]?)(?![a-zA-Z])\s*(.*)", re.DOTALL)
_GLUED = re.compile(r"(\$?)\s*([0-9][0-9_,]*(?:\.[0-9]+)?|\.[0-9]+)()\s*(.*)", re.DOTALL)


def in_unit(text: str, unit: str) -> float | None:
    """A number written with a unit, in `unit`; None when the text is no such thing. `100M tokens/day` is 1e8."""
    for form in (_WRITTEN, _GLUED):
        found = form.fullmatch(text.strip())
        if found is None:
            continue
        dollar, digits, scale, rest = found.groups()
        number = float(Decimal(digits.replace("_", "").replace(",", "")) * Decimal(_SCALES[scale.lower()]))
        tail = " ".join(rest.lower().split())
        written = f"{dollar}{tail}" if tail.startswith("/") or not tail else tail
        if not written:
            return number
        factor = UNITS.get(unit, {}).get(written)
        if factor is not None:
            return number * factor
    return None


# --- from what people write to a mapping ---


def lift(node: Node, kind: type[Struct], problems: Problems) -> Node:
    """The tree with every quantity as a mapping. What cannot be read as one is a finding, and stays as it is."""
    return _Lift(problems).node(node, inspect.type_info(kind), (), "")


class _Lift:
    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    def node(self, node: Node, info: inspect.Type, path: Path, unit: str) -> Node:
        while isinstance(info, inspect.Metadata):
            unit = str(cast("dict[str, Any]", info.extra or {}).get("unit", unit))
            info = info.type
        match info:
            case inspect.UnionType():
                return self._union(node, info, path, unit)
            case inspect.StructType():
                if info.cls is Quantity:
                    return self._quantity(node, path, unit)
                return self._struct(node, info, path)
            case inspect.DictType() if isinstance(node, Mapping):
                entries = {
                    key: (line, self.node(child, info.value_type, (*path, key), unit))
                    for key, (line, child) in node.entries.items()
                }
                return Mapping(entries, node.line)
            case inspect.ListType() if isinstance(node, Sequence):
                items = [self.node(child, info.item_type, (*path, at), unit) for at, child in enumerate(node.items)]
                return Sequence(items, node.line)
            case _:
                return node

    def _union(self, node: Node, info: inspect.UnionType, path: Path, unit: str) -> Node:
        if isinstance(node, Scalar) and node.value is None:
            return node
        for member in info.types:
            if not isinstance(member, inspect.NoneType):
                lifted = self.node(node, member, path, unit)
                if lifted is not node:
                    return lifted
        return node

    def _struct(self, node: Node, info: inspect.StructType, path: Path) -> Node:
        if not isinstance(node, Mapping):
            return node
        fields = {field.encode_name: field for field in info.fields}
        entries = {
            key: (line, self.node(child, fields[key].type, (*path, key), "") if key in fields else child)
            for key, (line, child) in node.entries.items()
        }
        return Mapping(entries, node.line)

    def _quantity(self, node: Node, path: Path, unit: str) -> Node:
        if isinstance(node, Scalar):
            return Mapping({"value": (node.line, self._number(node, path, unit))}, node.line)
        if not isinstance(node, Mapping):
            return node
        entries = {
            key: (line, self._number(child, (*path, key), unit) if key in NUMBERS else child)
            for key, (line, child) in node.entries.items()
        }
        return Mapping(self._mean(entries, path), node.line)

    def _mean(self, entries: dict[str, tuple[int, Node]], path: Path) -> dict[str, tuple[int, Node]]:
        """With `p50` and `p95` of single calls in place of `value`: the mean of what is log-normal between them."""
        if "p50" not in entries and "p95" not in entries:
            return entries
        line = next(entries[key][0] for key in ("p50", "p95") if key in entries)
        found = [node.value for key in ("p50", "p95") if key in entries and isinstance(node := entries[key][1], Scalar)]
        numbers = [float(each) for each in found if isinstance(each, int | float) and not isinstance(each, bool)]
        kept = {key: each for key, each in entries.items() if key not in ("p50", "p95")}
        if len(numbers) < 2 or "value" in entries or not 0 < numbers[0] <= numbers[1] < math.inf:
            self._problems.lines[path] = line
            fix = "Give p50 and p95, p50 above 0 and at most p95, and no `value`; or `value` alone"
            self._problems.add(path, "does not say how long single calls are", fix)
            return {"value": (line, Scalar(1.0, "1", line)), **kept}
        sigma = math.log(numbers[1] / numbers[0]) / Z95
        mean = numbers[0] * math.exp(min(sigma * sigma / 2, 40.0))
        return {"value": (line, Scalar(mean, repr(mean), line)), **kept}

    def _number(self, node: Node, path: Path, unit: str) -> Node:
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            return node
        number = in_unit(node.value, unit)
        if number is None:
            self._problems.lines[path] = node.line
            known = ", ".join(UNITS.get(unit, {})) or "a number without a unit"
            what = f"is counted in {unit}" if unit else "is a number without a unit"
            self._problems.add(path, f"{shown(node.text)} has another unit; this {what}", f"Write one of: {known}")
            return Scalar(0.0, "0", node.line)
        return Scalar(number, repr(number), node.line)


def as_json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a file with quantities: each may be a number, text with a unit, or the mapping."""
    definitions = cast("dict[str, Any]", schema.get("$defs", {}))
    if "Quantity" in definitions:
        definitions["Quantity"] = {
            "title": "Quantity",
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": r"^\s*\$?\s*[0-9.]", "description": "a number with a unit"},
                definitions["Quantity"],
                _of_single_calls(definitions["Quantity"]),
            ],
        }
    return schema


def _of_single_calls(quantity: dict[str, Any]) -> dict[str, Any]:
    """The mapping with `p50` and `p95` in place of `value`."""
    told = {key: each for key, each in quantity["properties"].items() if key != "value"}
    amount = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}
    half = {"p50": {**amount, "description": "Half of all calls are lower."}}
    most = {"p95": {**amount, "description": "One call in twenty is higher; the mean of both is planned with."}}
    return {**quantity, "properties": {**half, **most, **told}, "required": ["p50", "p95"]}


def dollars(usd: float) -> str:
    """USD for people: cents only where dollars would hide the number."""
    return f"{usd:,.0f}" if abs(usd) >= 100 or usd == 0 else f"{usd:,.2f}" if abs(usd) >= 0.1 else f"{usd:.2g}"


def plain(number: float) -> str:
    """For people: whole numbers in full, small ones to six digits."""
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:,.6g}"


def sentence(quantity: Quantity) -> str:
    """`50,000 (declared)`, as answers show it."""
    return f"{quantity.value:,.6g} ({quantity.provenance}{f': {quantity.source}' if quantity.source else ''})"


def changed(quantity: Quantity, factor: float) -> Quantity:
    """The quantity times a factor, ranges included."""
    times = {
        name: None if (value := getattr(quantity, name)) is None else value * factor for name in ("value", "p10", "p90")
    }
    return msgspec.structs.replace(quantity, **times)
