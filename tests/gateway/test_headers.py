"""The table of headers is complete: it names all that the code spells and all that real answers carry."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

from harness import Box
from signalbox import gateway
from signalbox.cache import scope as cache_scope
from signalbox.gateway.headers import HEADERS
from signalbox.guard import injection as guard_injection
from signalbox.pipeline import client_tries
from signalbox.upstream import headers as upstream_headers

FOLDER = Path(gateway.__file__).parent
# Besides the edge: who reads headers that only they know.
READERS = (upstream_headers, cache_scope, client_tries, guard_injection)
FILES = (*sorted(FOLDER.glob("*.py")), *(Path(reader.__file__) for reader in READERS))
WHOLE = re.compile(rb"[a-z0-9]+(-[a-z0-9]+)+-?|host|expect|connection|authorization|upgrade|api-key")
LINE = re.compile(rb"(?:^|\n|%b)([a-z][a-z0-9-]+): ")
# Spelled like headers, but values, or how names begin; and names of the provider's ids, which go by one name of ours.
OTHER = {"x-signalbox", "x-gzip", "no-cache", "no-store", "100-continue", "apim-request-id", "x-ms-request-id"}


def spelled(path: Path) -> set[str]:
    """Header names in the literals of a file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            if WHOLE.fullmatch(node.value):
                found.add(node.value.decode())
            found.update(name.decode() for name in LINE.findall(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.encode("ascii", "replace")
            found.update(name.decode() for name in LINE.findall(text) if b"-" in name)  # prose has colons too
    return found - OTHER


def known(name: str, *sides: str) -> bool:
    return any(fnmatchcase(name, header.name) for header in HEADERS if not sides or header.side in sides)


def test_every_name_in_the_code_is_in_the_table() -> None:
    names = {(name, path.name) for path in FILES for name in spelled(path)}
    assert {(name, file) for name, file in names if not known(f"{name}x" if name.endswith("-") else name)} == set()


def test_every_name_in_the_table_is_in_the_code() -> None:
    code = set().union(*(spelled(path) for path in FILES))
    parsed_for_us = {"connection", "upgrade", "host"}
    forwarded = {"anthropic-*", "openai-beta", "idempotency-key"}  # by the adapters, proved in tests/upstream
    gone = {header.name for header in HEADERS} - forwarded - parsed_for_us - code
    assert {name for name in gone if name.removesuffix("*") not in code} == set()


def test_rows_are_told_once_and_in_lower_case() -> None:
    rows = [(header.name, header.side) for header in HEADERS]
    assert len(set(rows)) == len(rows)
    assert all(name == name.lower() for name, _ in rows)


async def test_real_answers_carry_nothing_that_the_table_does_not_name(box: Box) -> None:
    chat = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
    answers = [
        await box.request("/v1/chat/completions", chat),
        await box.request("/v1/chat/completions", {**chat, "stream": True}),
        await box.request("/v1/messages", {**chat, "max_tokens": 9, "top_k": 3}),
        await box.request("/v1/messages", {**chat, "max_tokens": 9, "stream": True}),
        await box.request("/v1/chat/completions", {**chat, "model": "nowhere"}),
        await box.request("/v1/chat/completions", {"model": "auto"}),
        await box.request("/v1/models"),
        await box.request("/v1/messages", {}, key="sb-wrong"),
    ]
    assert {answer.status for answer in answers} >= {200, 400, 401, 404}
    for answer in answers:
        assert [name for name in answer.headers if not known(name, "written", "passed")] == []


TIMES = ["auth", "policy", "queue", "connect", "ttfb", "total"]


async def test_times_are_told_as_the_table_says(box: Box) -> None:
    """A first call, for which a connection was opened; a streamed one; and one that no provider answered."""
    told = next(header.meaning for header in HEADERS if header.name == "server-timing")
    assert re.findall(r"`(\w+)`", told) == TIMES
    chat = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
    for number, more in enumerate(({}, {"stream": True})):
        answer = await box.request("/v1/chat/completions", {**chat, **more})
        parts = [part.split(";dur=") for part in answer.headers["server-timing"].split(", ")]
        assert [name for name, _ in parts] == TIMES
        ms = {name: float(value) for name, value in parts}
        assert all(value >= 0 for value in ms.values())
        assert ms["total"] >= ms["auth"] + ms["policy"] + ms["ttfb"]
        assert ms["ttfb"] > 0
        assert (ms["connect"] > 0) == (number == 0), "the second finds it open"
    assert "server-timing" not in (await box.request("/v1/chat/completions", {**chat, "model": "nowhere"})).headers
