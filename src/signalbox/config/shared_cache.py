"""Where the kept answers of many machines lie: the setting `caches.valkey`, read into an address."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from signalbox.config.problems import Path, Problems
from signalbox.config.references import References
from signalbox.config.schema_caching import Caches, Valkey
from signalbox.config.shape import Shape
from signalbox.config.yaml12 import Mapping as Document
from signalbox.config.yaml12 import parse
from signalbox.core.caching import SharedCache
from signalbox.core.secret import Secret

PORT = 6379
DATABASE_MAX = 1 << 20
_SCHEMES = {"valkey": False, "redis": False, "valkeys": True, "rediss": True, "unix": False}
_PATH: Path = ("caches", "valkey", "url")


def shared_cache_of(caches: Caches, problems: Problems) -> SharedCache | None:
    """None where machines share nothing; what is wrong is put on record, and never shows the address."""
    declared = caches.valkey
    if declared is None or not problems.clean(_PATH[:2]):
        return None
    try:
        return _read(declared, urlsplit(declared.url.reveal()))
    except ValueError as error:
        problems.add(_PATH, str(error), "Write valkey://host:6379/0, valkeys:// for TLS, or unix:///path")
        return None


def stated_shared_cache(content: bytes, name: str, environ: Mapping[str, str] | None = None) -> SharedCache | None:
    """From a file's section `caches` alone, for those who need not what else the file refers to. Raises ConfigError."""
    root = parse(content, name)
    entry = root.entries.get("caches") if isinstance(root, Document) else None
    if entry is None:
        return None
    problems = Problems(name)
    references = References(os.environ if environ is None else environ, FilePath(name).parent)
    caches = Shape(problems, references).read(entry[1], Caches, _PATH[:1])
    shared = shared_cache_of(caches, problems) if not problems else None
    problems.raise_if_any()
    return shared


def _read(declared: Valkey, url: SplitResult) -> SharedCache:
    tls = _SCHEMES.get(url.scheme)
    if tls is None:
        raise ValueError("is not the URL of a Valkey or Redis server")
    if url.fragment or (url.query and url.scheme != "unix"):
        raise ValueError("holds more than an address")
    socket = unquote(url.path) if url.scheme == "unix" else ""
    if bool(socket) == bool(url.hostname):
        raise ValueError("names no host" if not socket else "names a host and a socket")
    if declared.ca_file is not None and not tls:
        raise ValueError("is without TLS, and ca_file is for TLS")
    if url.password is not None and declared.password is not None:
        raise ValueError("holds a password, and `password` does too")
    given = Secret(unquote(url.password)) if url.password else declared.password
    return SharedCache(
        host=url.hostname or "",
        port=_port(url),
        path=socket,
        tls=tls,
        ca_file=declared.ca_file or "",
        user=unquote(url.username or ""),
        password=given,
        database=_database(parse_qs(url.query).get("db", [""])[0] if socket else url.path.removeprefix("/")),
        timeout_s=declared.timeout_ms / 1000,
        bytes_max=declared.memory_bytes_max,
    )


def _port(url: SplitResult) -> int:
    try:
        return url.port or PORT
    except ValueError:
        raise ValueError("has a port that is none") from None


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()) or int(text) > DATABASE_MAX:
        raise ValueError("has a database that is no number")
    return int(text)
