"""Reads signalbox.yaml into what it declares, or raises with every finding: file, line, what is wrong, the fix."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path as FilePath

import msgspec

from signalbox.config.consistency import check
from signalbox.config.declared import Declared, Target
from signalbox.config.heads import heads_of
from signalbox.config.problems import Problems, dotted
from signalbox.config.references import ReferenceProblem, References
from signalbox.config.schema import Config
from signalbox.config.scorers import scorers_of
from signalbox.config.shape import Shape
from signalbox.config.shared_cache import shared_cache_of
from signalbox.config.targets import complete
from signalbox.config.yaml12 import BYTES_MAX, Scalar, parse
from signalbox.config.yaml12 import Mapping as Document
from signalbox.core.choosing import Scorer
from signalbox.core.errors import ConfigError
from signalbox.core.secret import Secret
from signalbox.core.tiering import Head

# Enough for nobody to meet two, short enough for a row of the ledger.
VERSION_CHARS = 16


def load(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Declared:
    """Reads the file. environ: where `${NAME}` is looked up, the process's own when left out."""
    return load_text(read_bytes(path), os.fspath(path), environ)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The file's content, at most as much as will be read. Raises ConfigError when it cannot be had."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be opened"
        raise ConfigError([f"{name}: the file cannot be read: {reason}. Check --config and who may read it."]) from None


def load_text(content: bytes | str, name: str, environ: Mapping[str, str] | None = None) -> Declared:
    """Reads content that came from `name`; relative paths in it are relative to that file's folder."""
    raw = content.encode() if isinstance(content, str) else content
    problems = Problems(name)
    references = References(os.environ if environ is None else environ, FilePath(name).parent)
    shape = Shape(problems, references)
    config = shape.read(parse(raw, name), Config)
    check(config, problems)
    heads = heads_of(config, references, problems)
    scorers = scorers_of(config, references, problems)
    shared_cache = shared_cache_of(config.caches, problems)
    targets = _targets(config, references, problems)
    problems.raise_if_any()
    certificates = {dotted(path): digest for path, digest in shape.certificates.items()}
    texts = {dotted(path): text for path, text in shape.secret_texts.items()}
    return Declared(
        name=name,
        version=_version(config, texts, certificates | _fitted(heads, scorers)),
        config=config,
        deployments=targets,
        lines={dotted(path): line for path, line in problems.lines.items() if 0 < len(path) <= 3},
        files=tuple(dict.fromkeys((name, *references.files))),
        heads=heads,
        scorers=scorers,
        shared_cache=shared_cache,
        inline_secrets=tuple(dotted(path) for path in shape.inline_secrets),
    )


def store_of(content: bytes | str, name: str, environ: Mapping[str, str] | None = None) -> Secret | None:
    """The setting `store` alone, for those who need the database and not what else the file refers to."""
    raw = content.encode() if isinstance(content, str) else content
    root = parse(raw, name)
    entry = root.entries.get("store") if isinstance(root, Document) else None
    if entry is None or not isinstance(entry[1], Scalar) or not entry[1].text:
        return None
    references = References(os.environ if environ is None else environ, FilePath(name).parent)
    try:
        return references.secret(entry[1].text)
    except ReferenceProblem as problem:
        raise ConfigError([f"{name}:{entry[0]}: store: {problem.what}. {problem.fix}."]) from None


def _targets(config: Config, references: References, problems: Problems) -> dict[str, Target]:
    targets: dict[str, Target] = {}
    for name, declared in config.deployments.items():
        if not problems.clean(("deployments", name)):
            continue
        environment = config.environments.get(declared.environment)
        target = complete(name, declared, environment, references, problems) if environment else None
        if target is not None:
            targets[name] = target
    return targets


def _fitted(heads: Mapping[str, Head], scorers: Mapping[str, Scorer]) -> dict[str, str]:
    return {name: head.id for name, head in heads.items()} | {
        f"{name} answers": scorer.id for name, scorer in scorers.items()
    }


def _version(config: Config, secret_texts: dict[str, str], read: dict[str, str]) -> str:
    """A hash of what the file means: comments and layout apart, secrets by their reference only."""
    content = msgspec.to_builtins((config, secret_texts, read), enc_hook=_hide)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:VERSION_CHARS]


def _hide(value: object) -> str:
    if isinstance(value, Secret):
        return "secret"
    raise NotImplementedError
