"""Reads catalogue files, ours and the operator's, by the same strict rules; every finding names file and line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from signalbox.config.problems import Problems
from signalbox.config.yaml12 import Mapping, Node, Scalar, Sequence, parse
from signalbox.planner.catalogue.entries import Catalogue, Ceiling, Offer, Purchase
from signalbox.planner.specs import GpuSpec, ModelSpec

FOLDER = Path(__file__).parent
FILES = ("models.yaml", "accelerators.yaml", "prices.yaml", "purchases.yaml", "ceilings.yaml")

SECTIONS: dict[str, type[msgspec.Struct]] = {
    "models": ModelSpec,
    "gpus": GpuSpec,
    "offers": Offer,
    "purchases": Purchase,
    "ceilings": Ceiling,
}


@cache
def shipped() -> Catalogue:
    """The catalogue of this version."""
    whole = Catalogue()
    for name in FILES:
        whole = whole.merged(read((FOLDER / name).read_bytes(), name))
    return whole


def read(content: bytes, name: str) -> Catalogue:
    """The entries of one file, YAML or JSON. Raises ConfigError with every finding."""
    problems = Problems(name)
    root = parse(content, name)
    sections: dict[str, tuple[msgspec.Struct, ...]] = {}
    if isinstance(root, Mapping) and root.entries:
        for key, (line, node) in root.entries.items():
            if key not in SECTIONS:
                problems.add_at(line, f"unknown key {key!r}", f"Known keys are {', '.join(SECTIONS)}")
            elif not isinstance(node, Sequence):
                problems.add_at(line, f"{key} must be a list", "Write one entry after each `-`")
            else:
                sections[key] = _entries(node, SECTIONS[key], key, problems)
    else:
        problems.add_at(1, "must be a mapping with entries", f"Its keys are {', '.join(SECTIONS)}")
    problems.raise_if_any()
    return msgspec.convert(sections, Catalogue)


def _entries(section: Sequence, kind: type[msgspec.Struct], key: str, problems: Problems) -> tuple[msgspec.Struct, ...]:
    found: list[msgspec.Struct] = []
    seen: set[object] = set()
    for node in section.items:
        try:
            entry = msgspec.convert(_plain(node), kind)
        except msgspec.ValidationError as error:
            problems.add_at(
                node.line, f"{key}: {error}", f"An entry has the fields {', '.join(kind.__struct_fields__)}"
            )
            continue
        identity = _identity(entry)
        if identity in seen:
            problems.add_at(node.line, f"{key}: {identity} is there twice", "Keep one of them")
        seen.add(identity)
        found.append(entry)
    return tuple(found)


def _identity(entry: msgspec.Struct) -> object:
    if isinstance(entry, Offer):
        return " ".join(entry.key)
    if isinstance(entry, Ceiling):
        return f"{entry.model} on {entry.gpu}"
    return entry.name if isinstance(entry, ModelSpec | GpuSpec | Purchase) else entry


def _plain(node: Node) -> Any:
    match node:
        case Mapping():
            return {key: _plain(child) for key, (_, child) in node.entries.items()}
        case Sequence():
            return [_plain(child) for child in node.items]
        case Scalar():
            return node.value
