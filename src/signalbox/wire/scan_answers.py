"""What services that scan texts answer: Presidio's findings, and the judgement of LLM Guard."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True, gc=False):
    """One place that Presidio names. start, end: in characters. score: 0 to 1."""

    entity_type: str
    start: int
    end: int
    score: float


class Judgement(msgspec.Struct, frozen=True, gc=False):
    """What LLM Guard says of a text. scanners: the risk that each one sees, -1 to 1."""

    is_valid: bool
    scanners: dict[str, float]


findings = msgspec.json.Decoder(list[Finding]).decode
judgement = msgspec.json.Decoder(Judgement).decode
