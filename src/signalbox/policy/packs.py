"""Rule packs: dated, cited YAML files that ship beside this module, read as strictly as an operator's own file.

A pack is engineering support, not legal advice: each says what it does not claim. Its dates never open a way: a rule
about placements holds as long as the operator names the pack, and only obligations fall due or lapse.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.consistency import check_rule
from signalbox.config.problems import Problems
from signalbox.config.references import References
from signalbox.config.schema import PACKS, Config
from signalbox.config.schema_rules import Rule
from signalbox.config.schema_words import Date, Word
from signalbox.config.shape import Shape
from signalbox.config.yaml12 import parse

FOLDER = Path(__file__).with_name("packs")

Sentence = Annotated[str, Meta(min_length=1, max_length=2000)]


class PackRule(Rule, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A rule of a pack. verified: the source was read and says this; otherwise it ships on general knowledge, applies
    all the same, and `signalbox check` warns. note: how the source became this condition.
    effective_from: first day of an obligation where it differs from the pack's.
    """

    verified: Literal["true", "unverified"]
    note: Sentence
    effective_from: Date | None = None


class Pack(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """version: the day on which the file was last brought up to date. effective_from, until: first and last day of
    the regulation. successor: the pack that takes its place. regulations: names in a workload's `regulations` that
    its rules are about. expects: data classes of which a workload under them usually declares at least one.
    """

    id: Word
    title: Sentence
    version: Date
    effective_from: Date
    until: Date | None = None
    status: Literal["in-force", "non-binding", "rescinded"]
    successor: Word | None = None
    regulations: list[Word]
    expects: list[str] = []
    claims_not: list[Sentence]
    rules: list[PackRule]


class LoadedPack(Struct, frozen=True):
    """digest: a hash of the file, part of the version of every configuration that names the pack."""

    pack: Pack
    digest: str


class SourcedRule(Struct, frozen=True):
    """A rule in force and where it comes from. id: as decisions name it. place: where the file names it. pack: None
    for the operator's own. position: within its file."""

    id: str
    rule: Rule
    place: str
    pack: Pack | None = None


@cache
def pack(name: str) -> LoadedPack:
    """A pack of this version. Raises ConfigError when its file is wrong, which tests exclude for what ships."""
    path = FOLDER / f"{name}.yaml"
    return read_pack(path.read_bytes(), path.name)


def read_pack(content: bytes, name: str) -> LoadedPack:
    """A pack from the text of its file. Raises ConfigError with every finding."""
    problems = Problems(name)
    shape = Shape(problems, References({}, FOLDER))
    read = shape.read(parse(content, name), Pack)
    for position, rule in enumerate(read.rules):
        check_rule(("rules", position), rule, problems)
        if not rule.source:
            problems.add(("rules", position), "cites no source", "Add `source`: the law and its article")
    problems.raise_if_any()
    return LoadedPack(read, hashlib.sha256(content).hexdigest())


def packs_of(config: Config) -> list[Pack]:
    """The packs that a file names, in its order."""
    return [pack(name).pack for name in config.packs]


def rules_of(config: Config) -> list[SourcedRule]:
    """Every rule in force, obligations included: the file's own in their order, then those of its packs."""
    own = [SourcedRule(rule.id, rule, f"rules[{position}]") for position, rule in enumerate(config.rules)]
    shipped = [
        SourcedRule(f"{each.id}.{rule.id}", rule, f"packs[{position}]", each)
        for position, each in enumerate(packs_of(config))
        for rule in each.rules
    ]
    return own + shipped


def shipped_for(regulation: str) -> str | None:
    """The pack of this version that is about a regulation."""
    return next((name for name in PACKS if regulation in pack(name).pack.regulations), None)
