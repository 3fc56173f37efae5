"""Labelled rows: what was asked, and how well each tier answered; read from JSON lines."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from signalbox.core.errors import ConfigError
from signalbox.embedding.encoder import Encoder
from signalbox.routing.difficulty.features import Asked, Features, features
from signalbox.routing.difficulty.normalise import normalise
from signalbox.routing.difficulty.question import asked

ROWS_MAX = 50_000
_LINE_BYTES_MAX = 8 * 1024 * 1024
# Of a hundred rows without a stated split so many prove thresholds, and no weight is fitted on them.
CAL_SHARE = 40

Outcome = Annotated[float, Meta(ge=0, le=1)]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a file. prompt or request: what was asked, as text or as a whole body of any API. outcomes: how good
    each deployment's answer was, 0 to 1. propensity: the probability with which the row came to be labelled. split:
    fit or cal, decided by the text when left out. group: rows of one group are kept on one side."""

    outcomes: dict[str, Outcome]
    prompt: str | None = None
    request: dict[str, Any] | None = None
    propensity: Annotated[float, Meta(gt=0, le=1)] = 1.0
    split: str | None = None
    group: str | None = None


class Labelled(msgspec.Struct, frozen=True):
    """outcomes: in the order of the tiers. cal: proves thresholds. read: its features, where its text is not kept; then
    the text of `asked` only names it. vector: of its meaning, by one encoder for all rows."""

    asked: Asked
    outcomes: tuple[float, ...]
    propensity: float
    cal: bool
    read: Features | None = None
    vector: Any = None

    def features(self) -> Features:
        found = self.read or features(self.asked)
        return found if self.vector is None else msgspec.structs.replace(found, vector=self.vector)


_decode = msgspec.json.Decoder(Line).decode


def read(path: Path, tiers: tuple[str, ...] = ()) -> tuple[tuple[str, ...], list[Labelled]]:
    """The tiers and the rows that judge all of them. tiers: from the cheapest to the strongest; when left out, the
    names of the first line in its order. Raises ConfigError naming the line."""
    rows: list[Labelled] = []
    skipped = 0
    for number, line in _lines(path):
        try:
            entry = _decode(line)
        except msgspec.MsgspecError as error:
            raise ConfigError([f"{path}:{number}: {error}"]) from None
        if (entry.prompt is None) == (entry.request is None):
            raise ConfigError([f"{path}:{number}: give either `prompt` or `request`"])
        if entry.split not in (None, "fit", "cal"):
            raise ConfigError([f"{path}:{number}: `split` is fit or cal"])
        tiers = tiers or tuple(entry.outcomes)
        if len(tiers) < 2:
            raise ConfigError([f"{path}:{number}: outcomes of two deployments at least are needed"])
        if not all(name in entry.outcomes for name in tiers):
            skipped += 1
            continue
        what = asked(entry.request) if entry.request is not None else Asked(entry.prompt or "")
        outcomes = tuple(entry.outcomes[name] for name in tiers)
        rows.append(Labelled(what, outcomes, entry.propensity, _is_cal(entry, what)))
        if len(rows) >= ROWS_MAX:
            break
    if not rows:
        raise ConfigError([f"{path}: none of {skipped} rows judges all of {', '.join(tiers) or 'its deployments'}"])
    return tiers, rows


def encoded(rows: Iterable[Labelled], encoder: Encoder) -> list[Labelled]:
    """The rows with their meaning, as it is told of a question when it is asked."""
    return [msgspec.structs.replace(row, vector=encoder.encode(normalise(row.asked.text)[0])) for row in rows]


def evenly(rows: Iterable[Labelled]) -> list[Labelled]:
    """As many of the rows as come to be labelled with one and the same probability, so that they count alike."""
    listed = list(rows)
    least = min((row.propensity for row in listed), default=1.0)
    return [row for row in listed if _chance(row.asked.text) * row.propensity <= least]


def _is_cal(entry: Line, what: Asked) -> bool:
    if entry.split is not None:
        return entry.split == "cal"
    return is_cal(entry.group or what.text)


def is_cal(text: str) -> bool:
    """Whether a row proves thresholds, decided by what names it."""
    return int(100 * _chance(f"split\0{text}")) < CAL_SHARE


def _chance(text: str) -> float:
    """A number in (0, 1] that the text alone decides."""
    digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
    return (int.from_bytes(digest[:6], "big") + 1) / (1 << 48)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            while line := file.readline(_LINE_BYTES_MAX + 1):
                number += 1
                if len(line) > _LINE_BYTES_MAX:
                    raise ConfigError([f"{path}:{number}: the line is longer than {_LINE_BYTES_MAX} bytes"])
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise ConfigError([f"{path}: cannot be read ({error})"]) from None
