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

CA_BYTES_MAX = 4 * 1024 * 1024
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
    authorities = _authorities(config, references, problems)
    heads = heads_of(config, references, problems)
    scorers = scorers_of(config, references, problems)
    shared_cache = shared_cache_of(config.caches, references, problems)
    targets = _targets(config, references, problems)
    problems.raise_if_any()
    texts = {dotted(path): text for path, text in shape.secret_texts.items()}
    return Declared(
        name=name,
        version=_version(config, texts, authorities | _fitted(heads, scorers)),
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


def _authorities(config: Config, references: References, problems: Problems) -> dict[str, str]:
    """A hash of each CA file, so that a replaced certificate is a changed configuration."""
    digests: dict[str, str] = {}
    for name, declared in config.deployments.items():
        if declared.ca_file is None or declared.ca_file in digests:
            continue
        try:
            digests[declared.ca_file] = _digest_of_pem(references, declared.ca_file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.add(
                ("deployments", name, "ca_file"), f"cannot be used: {reason}", "Name a PEM file of certificates"
            )
    return digests | _listening(config, references, problems)


def _listening(config: Config, references: References, problems: Problems) -> dict[str, str]:
    """A hash of the server's certificate and of whose clients it takes; its key is watched as well."""
    tls = config.server.tls
    if tls is None:
        return {}
    digests: dict[str, str] = {}
    references.path(tls.key_file)
    for name in ("certificate_file", "client_ca_file"):
        file: str | None = getattr(tls, name)
        try:
            if file is not None:
                digests[f"server.tls.{name}"] = _digest_of_pem(references, file)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.add(("server", "tls", name), f"cannot be used: {reason}", "Name a PEM file of certificates")
    return digests


def _fitted(heads: Mapping[str, Head], scorers: Mapping[str, Scorer]) -> dict[str, str]:
    return {name: head.id for name, head in heads.items()} | {
        f"{name} answers": scorer.id for name, scorer in scorers.items()
    }


def _digest_of_pem(references: References, path: str) -> str:
    content = references.content(path, CA_BYTES_MAX)
    if b"-----BEGIN CERTIFICATE-----" not in content:
        raise ValueError("it holds no certificate")
    return hashlib.sha256(content).hexdigest()


def _version(config: Config, secret_texts: dict[str, str], authorities: dict[str, str]) -> str:
    """A hash of what the file means: comments and layout apart, secrets by their reference only."""
    content = msgspec.to_builtins((config, secret_texts, authorities), enc_hook=_hide)
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:VERSION_CHARS]


def _hide(value: object) -> str:
    if isinstance(value, Secret):
        return "secret"
    raise NotImplementedError
