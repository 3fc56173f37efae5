"""OTLP messages as protobuf: the JSON form of a message, which people can read, turned into the binary one.

Only what the exporter sends is here. Field numbers are from opentelemetry-proto 1.x, where they never change.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, cast

# A message's fields: JSON name to (number, kind). A kind that is no scalar names another message; [] means repeated.
Fields = Mapping[str, tuple[int, str]]
_ATTRIBUTES = "KeyValue[]"

MESSAGES: dict[str, Fields] = {
    "ExportTraceServiceRequest": {"resourceSpans": (1, "ResourceSpans[]")},
    "ResourceSpans": {"resource": (1, "Resource"), "scopeSpans": (2, "ScopeSpans[]"), "schemaUrl": (3, "string")},
    "ScopeSpans": {"scope": (1, "Scope"), "spans": (2, "Span[]"), "schemaUrl": (3, "string")},
    "Resource": {"attributes": (1, _ATTRIBUTES)},
    "Scope": {"name": (1, "string"), "version": (2, "string")},
    "Span": {
        "traceId": (1, "id"),
        "spanId": (2, "id"),
        "parentSpanId": (4, "id"),
        "name": (5, "string"),
        "kind": (6, "varint"),
        "startTimeUnixNano": (7, "fixed64"),
        "endTimeUnixNano": (8, "fixed64"),
        "attributes": (9, _ATTRIBUTES),
        "events": (11, "Event[]"),
        "status": (15, "Status"),
        "flags": (16, "fixed32"),
    },
    "Event": {"timeUnixNano": (1, "fixed64"), "name": (2, "string"), "attributes": (3, _ATTRIBUTES)},
    "Status": {"message": (2, "string"), "code": (3, "varint")},
    "KeyValue": {"key": (1, "string"), "value": (2, "AnyValue")},
    "AnyValue": {
        "stringValue": (1, "string!"),
        "boolValue": (2, "varint!"),
        "intValue": (3, "varint!"),
        "doubleValue": (4, "double!"),
        "arrayValue": (5, "ArrayValue"),
    },
    "ArrayValue": {"values": (1, "AnyValue[]")},
    "ExportMetricsServiceRequest": {"resourceMetrics": (1, "ResourceMetrics[]")},
    "ResourceMetrics": {"resource": (1, "Resource"), "scopeMetrics": (2, "ScopeMetrics[]"), "schemaUrl": (3, "string")},
    "ScopeMetrics": {"scope": (1, "Scope"), "metrics": (2, "Metric[]"), "schemaUrl": (3, "string")},
    "Metric": {
        "name": (1, "string"),
        "description": (2, "string"),
        "unit": (3, "string"),
        "gauge": (5, "Gauge"),
        "sum": (7, "Sum"),
        "histogram": (9, "Histogram"),
    },
    "Gauge": {"dataPoints": (1, "NumberDataPoint[]")},
    "Sum": {
        "dataPoints": (1, "NumberDataPoint[]"),
        "aggregationTemporality": (2, "varint"),
        "isMonotonic": (3, "varint"),
    },
    "Histogram": {"dataPoints": (1, "HistogramDataPoint[]"), "aggregationTemporality": (2, "varint")},
    "NumberDataPoint": {
        "startTimeUnixNano": (2, "fixed64"),
        "timeUnixNano": (3, "fixed64"),
        "asDouble": (4, "double!"),
        "attributes": (7, _ATTRIBUTES),
    },
    "HistogramDataPoint": {
        "startTimeUnixNano": (2, "fixed64"),
        "timeUnixNano": (3, "fixed64"),
        "count": (4, "fixed64"),
        "sum": (5, "double!"),
        "bucketCounts": (6, "fixed64s"),
        "explicitBounds": (7, "doubles"),
        "attributes": (9, _ATTRIBUTES),
    },
}


def encode(message: Mapping[str, Any], kind: str) -> bytes:
    """message: as OTLP's JSON has it, identifiers in hex and 64-bit numbers as text. Raises KeyError for a field that
    its kind does not have."""
    fields = MESSAGES[kind]
    out: list[bytes] = []
    for name, value in message.items():
        number, of = fields[name]
        if of.endswith("[]"):
            for item in value:
                data = encode(item, of[:-2])
                out.append(_key(number, 2) + _varint(len(data)) + data)
        elif of in MESSAGES:
            data = encode(value, of)
            out.append(_key(number, 2) + _varint(len(data)) + data)
        elif of.endswith("!") or value:  # what is the default is left out, unless it is one of several alternatives
            out.append(_SCALARS[of.removesuffix("!")](number, value))
    return b"".join(out)


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative ones are ten bytes long
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes(number: int, data: bytes) -> bytes:
    return _key(number, 2) + _varint(len(data)) + data


def _doubles(number: int, values: object) -> bytes:
    floats = cast("list[float]", values)
    return _bytes(number, struct.pack(f"<{len(floats)}d", *floats))


def _fixed64s(number: int, values: object) -> bytes:
    numbers = [int(value) for value in cast("list[str]", values)]
    return _bytes(number, struct.pack(f"<{len(numbers)}Q", *numbers))


_SCALARS: dict[str, Callable[[int, Any], bytes]] = {
    "string": lambda number, value: _bytes(number, str(value).encode("utf-8", "replace")),
    "id": lambda number, value: _bytes(number, bytes.fromhex(value)),
    "varint": lambda number, value: _key(number, 0) + _varint(int(value)),
    "fixed64": lambda number, value: _key(number, 1) + struct.pack("<Q", int(value)),
    "fixed32": lambda number, value: _key(number, 5) + struct.pack("<I", int(value)),
    "double": lambda number, value: _key(number, 1) + struct.pack("<d", value),
    "doubles": _doubles,
    "fixed64s": _fixed64s,
}
