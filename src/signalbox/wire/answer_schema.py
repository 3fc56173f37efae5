"""Whether a JSON value is what a JSON Schema asks for: the part of the language that models are given.

Known are types, enum and const, properties, required, additionalProperties, items, prefixItems, lengths, numbers' ends,
anyOf, oneOf, allOf and references within the schema. A keyword that is not known forbids nothing, and patterns are not
run: they come from callers.
"""

from __future__ import annotations

from typing import Any, cast

# A schema is walked so deep at most, and so many values are looked at.
DEPTH_MAX = 32
STEPS_MAX = 20_000

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}


def faults(value: object, schema: object) -> int:
    """How many places of `value` are not what `schema` asks for; 0 when it conforms."""
    return _Check(schema).at(value, schema, 0)


class _Check:
    """One value's walk. steps: what is left of the work that one answer may cost."""

    def __init__(self, root: object) -> None:
        self._root = root
        self._steps = STEPS_MAX

    def at(self, value: object, schema: object, depth: int) -> int:
        self._steps -= 1
        if schema is False:
            return 1
        if not isinstance(schema, dict) or depth > DEPTH_MAX or self._steps < 0:
            return 0
        rules = cast("dict[str, Any]", schema)
        reference = rules.get("$ref")
        if isinstance(reference, str):
            return self.at(value, self._referred(reference), depth + 1)
        if not _is_of(value, rules.get("type")):
            return 1
        found = int("const" in rules and not _same(value, rules["const"]))
        choices = rules.get("enum")
        if isinstance(choices, list):
            found += not any(_same(value, one) for one in cast("list[object]", choices))
        return found + self._inner(value, rules, depth) + self._combined(value, rules, depth)

    def _inner(self, value: object, rules: dict[str, Any], depth: int) -> int:
        if isinstance(value, dict):
            return self._object(cast("dict[str, object]", value), rules, depth)
        if isinstance(value, list):
            return self._array(cast("list[object]", value), rules, depth)
        if isinstance(value, str):
            return _outside(len(value), rules, "minLength", "maxLength")
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _outside(value, rules, "minimum", "maximum")
        return 0

    def _object(self, value: dict[str, object], rules: dict[str, Any], depth: int) -> int:
        required, declared = rules.get("required"), rules.get("properties")
        names = cast("list[object]", required) if isinstance(required, list) else []
        found = sum(name not in value for name in names)
        properties = cast("dict[str, object]", declared) if isinstance(declared, dict) else {}
        others = rules.get("additionalProperties", True)
        for name, inner in value.items():
            if name in properties:
                found += self.at(inner, properties[name], depth + 1)
            elif others is not True:
                found += self.at(inner, others, depth + 1)
        return found + _outside(len(value), rules, "minProperties", "maxProperties")

    def _array(self, value: list[object], rules: dict[str, Any], depth: int) -> int:
        first = rules.get("prefixItems")
        ahead = cast("list[object]", first) if isinstance(first, list) else []
        found = sum(self.at(one, schema, depth + 1) for one, schema in zip(value, ahead, strict=False))
        if "items" in rules:
            found += sum(self.at(one, rules["items"], depth + 1) for one in value[len(ahead) :])
        return found + _outside(len(value), rules, "minItems", "maxItems")

    def _combined(self, value: object, rules: dict[str, Any], depth: int) -> int:
        found = 0
        for keyword in ("anyOf", "oneOf"):
            branches = rules.get(keyword)
            if isinstance(branches, list) and branches:
                found += min(self.at(value, one, depth + 1) for one in cast("list[object]", branches)) > 0
        every = rules.get("allOf")
        if isinstance(every, list):
            found += sum(self.at(value, one, depth + 1) for one in cast("list[object]", every))
        return found

    def _referred(self, reference: str) -> object:
        """What `#/$defs/name` stands for; nothing is asked where it points nowhere."""
        if not reference.startswith("#"):
            return True
        found = self._root
        for step in reference[1:].split("/")[1:]:
            if not isinstance(found, dict):
                return True
            found = cast("dict[str, object]", found).get(step.replace("~1", "/").replace("~0", "~"))
        return found


def _is_of(value: object, wanted: object) -> bool:
    names = cast("list[object]", wanted) if isinstance(wanted, list) else [wanted]
    for name in names:
        types = _TYPES.get(name) if isinstance(name, str) else None
        if types is None:
            return True
        if isinstance(value, bool) and name != "boolean":
            continue
        if isinstance(value, types) and (name != "integer" or float(cast("float", value)).is_integer()):
            return True
    return False


def _same(one: object, other: object) -> bool:
    """JSON's equality: true is not 1, 1.0 is 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _outside(size: float, rules: dict[str, Any], low: str, high: str) -> int:
    least, most = rules.get(low), rules.get(high)
    return int(isinstance(least, int | float) and size < least) + int(isinstance(most, int | float) and size > most)
