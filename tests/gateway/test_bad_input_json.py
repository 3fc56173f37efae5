"""Bodies that are no JSON, no object, too much, or that two parsers could read in two ways: 400 on every endpoint."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import ENDPOINTS, told_error

from harness import Box

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
DEEP = 100_000


def good(path: str, more: str = "") -> bytes:
    """The endpoint's body with further members, as text."""
    return (json.dumps(ENDPOINTS[path])[:-1] + more + "}").encode()


def last(box: Box) -> int:
    """The number of the last request that any provider received."""
    entries = box.sim.log.entries
    return entries[-1].n if entries else 0


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


BODIES = {
    "nothing": lambda path: b"",
    "white space": lambda path: b" \r\n\t",
    "an array": lambda path: b"[%b]" % good(path),
    "an empty array": lambda path: b"[]",
    "null": lambda path: b"null",
    "a string": lambda path: b'"x"',
    "a number": lambda path: b"1",
    "an empty object": lambda path: b"{}",
    "half an object": lambda path: good(path)[:-1],
    "two objects": lambda path: good(path) * 2,
    "something behind it": lambda path: good(path) + b"x",
    "a NUL behind it": lambda path: good(path) + b"\0",
    "a trailing comma": lambda path: good(path, ","),
    "a comment": lambda path: good(path, "/**/"),
    "single quotes": lambda path: b"{'model': 'w-chat'}",
    "bare keys": lambda path: b"{model: 1}",
    "a byte order mark": lambda path: b"\xef\xbb\xbf" + good(path),
    "UTF-16": lambda path: good(path).decode().encode("utf-16"),
    "UTF-32": lambda path: good(path).decode().encode("utf-32"),
    "invalid UTF-8": lambda path: good(path, ',"x":"?"').replace(b"?", b"\xff"),
    "overlong UTF-8": lambda path: good(path, ',"x":"?"').replace(b"?", b"\xc0\xaf"),
    "a surrogate in UTF-8": lambda path: good(path, ',"x":"?"').replace(b"?", b"\xed\xa0\x80"),
    "a lone high surrogate": lambda path: good(path, ',"x":"\\ud800"'),
    "a lone low surrogate": lambda path: good(path, ',"x":"\\udc00"'),
    "surrogates swapped": lambda path: good(path, ',"x":"\\udc00\\ud800"'),
    "a surrogate in a key": lambda path: good(path, ',"\\ud800":1'),
    "a raw control character": lambda path: good(path, ',"x":"\x01"'),
    "a raw newline": lambda path: good(path, ',"x":"\n"'),
    "a wrong escape": lambda path: good(path, ',"x":"\\x41"'),
    "NaN": lambda path: good(path, ',"temperature":NaN'),
    "Infinity": lambda path: good(path, ',"temperature":-Infinity'),
    "a number no double can hold": lambda path: good(path, ',"temperature":1e400'),
    "a leading zero": lambda path: good(path, ',"seed":01'),
    "a plus": lambda path: good(path, ',"seed":+1'),
    "hexadecimal": lambda path: good(path, ',"seed":0x10'),
    "True": lambda path: good(path, ',"x":True'),
    "the model twice": lambda path: good(path, ',"model":"w-local"'),
    "the model twice, the same": lambda path: good(path, f',"model":{json.dumps(ENDPOINTS[path]["model"])}'),
    "the model twice, escaped": lambda path: good(path, ',"mod\\u0065l":"w-local"'),
    "the model escaped twice": lambda path: good(path, ',"\\u006dodel":"w-local"'),
    "a key twice, deep down": lambda path: good(path, ',"x":[{"y":{"a":1,"b":[],"a":2}}]'),
    "a key twice, one escaped": lambda path: good(path, ',"x":{"a":1,"\\u0061":2}'),
    "the empty key twice": lambda path: good(path, ',"x":{"":1,"":2}'),
    "arrays without end": lambda path: b"[" * DEEP,
    "objects without end": lambda path: b'{"a":' * DEEP,
    "arrays, deep": lambda path: good(path, ',"x":' + "[" * DEEP + "]" * DEEP),
    "objects, deep": lambda path: good(path, ',"x":' + '{"a":' * DEEP + "1" + "}" * DEEP),
    "just too deep": lambda path: good(path, ',"x":' + "[" * 64 + "]" * 64),
}


@pytest.mark.parametrize("name", BODIES)
async def test_what_is_no_request_is_400_in_the_callers_dialect(
    shared_box: Box, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = last(shared_box)
    for path in ENDPOINTS:
        began = time.monotonic()
        answer = await shared_box.request(path, BODIES[name](path))
        assert answer.status == 400, (path, answer.body[:200])
        code = told_error(path, answer)
        assert code in ("invalid_request", "invalid_request_error"), code
        assert answer.headers["x-should-retry"] == "false"
        assert len(answer.body) < 600
        assert time.monotonic() - began < 5
    assert last(shared_box) == before
    told = capfd.readouterr()
    assert "Traceback" not in told.out + told.err


async def test_odd_but_single_minded_json_is_taken(shared_box: Box) -> None:
    for more in (
        ',"x":"\\ud83d\\ude00"',
        ',"x":{"model":"other","a":{"model":1}}',
        ',"x":[{"a":1},{"a":1}]',
        ',"x":{"a":{"a":{"a":1}}}',
        ',"x":"\\u0000"',
        ',"x":' + "[" * 60 + "]" * 60,
        ',"x":123456789012345678901234567890',
        ',"":1',
    ):
        answer = await shared_box.request("/v1/chat/completions", good("/v1/chat/completions", more))
        assert answer.status == 200, (more[:40], answer.body[:200])


async def test_other_content_types_are_refused_before_anything_is_parsed(shared_box: Box) -> None:
    before = last(shared_box)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonx",
        "application/json-seq",
        "application/json, text/plain",
        "text/plain; application/json",
        "",
    ):
        for path in ENDPOINTS:
            answer = await shared_box.request(path, ENDPOINTS[path], headers={"content-type": kind})
            assert answer.status == 400, kind
            told_error(path, answer)
    assert last(shared_box) == before
    lines = {"content-type": "application/json", "Content-Type": "text/plain"}
    assert (await shared_box.request("/v1/embeddings", ENDPOINTS["/v1/embeddings"], headers=lines)).status == 400


async def test_a_million_messages_are_answered_in_bounded_time_and_memory(shared_box: Box) -> None:
    """26 MiB of the smallest messages there are; the loop goes on serving others within a second or two."""
    message = b'{"role":"user","content":1},'
    bodies = {
        "/v1/chat/completions": b'{"model":"w-chat","messages":[%b{}]}' % (message * 900_000),
        "/v1/messages": b'{"model":"w-messages","max_tokens":1,"messages":[%b{}]}' % (message * 900_000),
    }
    before, before_mib = last(shared_box), rss_mib()
    for path, body in bodies.items():
        asked = asyncio.ensure_future(shared_box.request(path, body))
        await asyncio.sleep(0)
        began = time.monotonic()
        answer = await asked
        assert time.monotonic() - began < 10
        assert answer.status == 400
        told_error(path, answer)
    assert last(shared_box) == before
    del bodies, body
    assert rss_mib() - before_mib < 700


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(path=st.sampled_from(sorted(ENDPOINTS)), data=st.binary(max_size=200), at=st.integers(0, 300))
@settings(max_examples=150, deadline=None)
async def test_random_bytes_in_a_body_are_4xx_or_an_answer(shared_box: Box, path: str, data: bytes, at: int) -> None:
    whole = good(path)
    answer = await shared_box.request(path, whole[:at] + data + whole[at:])
    assert answer.status in (200, 400, 404), answer.body
    if answer.status != 200:
        told_error(path, answer)


@given(path=st.sampled_from(sorted(ENDPOINTS)), name=st.sampled_from(["messages", "input", "tools", "x"]), value=JSON)
@settings(max_examples=150, deadline=None)
async def test_random_json_in_a_body_is_4xx_or_an_answer(shared_box: Box, path: str, name: str, value: object) -> None:
    answer = await shared_box.request(path, json.dumps({**ENDPOINTS[path], name: value}).encode())
    assert answer.status in (200, 400, 404), answer.body
    if answer.status != 200:
        assert json.loads(answer.body)["error"]["message"]
