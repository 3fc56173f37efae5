"""The written forms of national identifiers, as bytes for the shape table."""

from __future__ import annotations

from signalbox.detectors.national_table import NATIONAL

SHAPES = frozenset(shape.encode("ascii") for entry in NATIONAL for shape in entry.shapes)
