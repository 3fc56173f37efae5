"""Requests that two servers could read in two ways: refused and cut off, or read in the one way that there is."""

import asyncio
import gzip
import json
from collections.abc import Callable

import pytest
from raw_client import CHAT_BODY, Wire, chunked, request_bytes

from harness import Box, parse_answer

pytestmark = pytest.mark.asyncio(loop_scope="module")

N = len(CHAT_BODY)
TE = b"transfer-encoding: chunked\r\n"
SMUGGLED = b"GET /v1/models HTTP/1.1\r\nhost: t\r\n\r\n"


def with_te(value: bytes, name: bytes = b"transfer-encoding") -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, chunked(), more=name + b": " + value + b"\r\n", length=False)


def in_chunks(body: bytes) -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, body, more=TE, length=False)


def with_length(lines: bytes) -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, more=lines, length=False)


def with_line(line: bytes, length: bool = True) -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, more=line, length=length)


def with_host(lines: bytes) -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, host=lines)


def with_target(target: bytes, method: bytes = b"POST") -> Callable[[Box], bytes]:
    return lambda box: request_bytes(box, target=target, method=method)


REFUSED: dict[str, Callable[[Box], bytes]] = {
    # A length and chunks: which one counts?
    "CL.TE": lambda box: request_bytes(box, b"0\r\n\r\n" + SMUGGLED, more=TE),
    "TE.CL": lambda box: request_bytes(box, chunked() + SMUGGLED, more=TE + b"content-length: 4\r\n", length=False),
    "CL.TE with the real length": lambda box: request_bytes(box, chunked(), more=TE),
    "TE.TE": lambda box: request_bytes(box, chunked(), more=TE + b"transfer-encoding: identity\r\n", length=False),
    "TE twice": lambda box: request_bytes(box, chunked(), more=TE + TE, length=False),
    "TE xchunked": with_te(b"xchunked"),
    "TE identity": with_te(b"identity"),
    "TE chunked, identity": with_te(b"chunked, identity"),
    "TE identity, chunked": with_te(b"identity, chunked"),
    "TE gzip, chunked": with_te(b"gzip, chunked"),
    "TE chunked, chunked": with_te(b"chunked, chunked"),
    "TE quoted": with_te(b'"chunked"'),
    "TE vertical tab": with_te(b"\x0bchunked"),
    "TE parameter": with_te(b"chunked;q=1"),
    "TE empty": with_te(b""),
    "TE space before colon": with_te(b"chunked", b"transfer-encoding "),
    "TE in HTTP/1.0": lambda box: request_bytes(box, chunked(), more=TE, length=False, version=b"1.0"),
    # Chunks.
    "chunk size in hex notation": in_chunks(chunked(size=b"0x%x")),
    "chunk size negative": in_chunks(chunked(size=b"-%x")),
    "chunk size plus": in_chunks(chunked(size=b"+%x")),
    "chunk size space": in_chunks(chunked(size=b"%x ")),
    "chunk size beyond 64 bits": in_chunks(chunked(size=b"f%016x")),
    "chunk size bare LF": in_chunks(b"%x\n" % N + CHAT_BODY + b"\r\n0\r\n\r\n"),
    "chunk end missing": in_chunks(b"%x\r\n" % N + CHAT_BODY + b"XX0\r\n\r\n"),
    "chunk end bare LF": in_chunks(b"%x\r\n" % N + CHAT_BODY + b"\n0\r\n\r\n"),
    "chunk extension with LF": in_chunks(chunked(size=b"%x;a\nb")),
    "chunk extension with NUL": in_chunks(chunked(size=b"%x;a=\0b")),
    # Lengths.
    "length negative": with_length(b"content-length: -1\r\n"),
    "length plus": with_length(b"content-length: +%d\r\n" % N),
    "length beyond 64 bits": with_length(b"content-length: 99999999999999999999999\r\n"),
    "length twice, the same": with_length(b"content-length: %d\r\n" % N * 2),
    "length twice, different": with_length(b"content-length: %d\r\ncontent-length: %d\r\n" % (N, N + 1)),
    "length list": with_length(b"content-length: %d, %d\r\n" % (N, N)),
    "length in hex": with_length(b"content-length: 0x10\r\n"),
    "length fraction": with_length(b"content-length: %d.0\r\n" % N),
    "length empty": with_length(b"content-length: \r\n"),
    "length space before colon": with_length(b"content-length : %d\r\n" % N),
    # Lines.
    "bare LF everywhere": lambda box: request_bytes(box).replace(b"\r\n", b"\n"),
    "bare LF once": with_line(b"x-a: b\nx-c: d\r\n"),
    "bare CR": with_line(b"x-a: b\rx-c: d\r\n"),
    "folded line": with_line(b"x-a: b\r\n c\r\n"),
    "folded first line": lambda box: request_bytes(box, host=b" x: y\r\nhost: t\r\n"),
    "NUL in a value": with_line(b"x-a: b\0c\r\n"),
    "NUL in a name": with_line(b"x-\0a: c\r\n"),
    "control in a value": with_line(b"x-a: b\x01c\r\n"),
    "no colon": with_line(b"x-a\r\n"),
    "empty name": with_line(b": x\r\n"),
    "space in a name": with_line(b"x a: b\r\n"),
    # Targets and hosts.
    "absolute form with a user": with_target(b"http://me:word@t/v1/chat/completions"),
    "absolute form without a host": with_target(b"http:///v1/chat/completions"),
    "absolute form with a backslash": with_target(b"http://t\\v1/chat/completions"),
    "absolute form with a fragment": with_target(b"http://t#/v1/chat/completions"),
    "absolute form with two ports": with_target(b"http://t:1:2/v1/chat/completions"),
    "absolute form of another scheme": with_target(b"ftp://t/v1/chat/completions"),
    "absolute form without a host header": lambda box: request_bytes(
        box, target=b"http://t/v1/chat/completions", host=b""
    ),
    "absolute form with two host headers": lambda box: request_bytes(
        box, target=b"http://t/v1/chat/completions", host=b"host: t\r\nhost: t\r\n"
    ),
    "absolute form and two ways to end a body": lambda box: request_bytes(
        box, chunked(), target=b"http://t/v1/chat/completions", more=TE
    ),
    "authority form": with_target(b"t:443", b"CONNECT"),
    "CONNECT with a path": with_target(b"/v1/chat/completions", b"CONNECT"),
    "asterisk form": with_target(b"*", b"OPTIONS"),
    "control in the target": with_target(b"/v1/\x01"),
    "space in the target": with_target(b"/v1/chat/completions x"),
    "raw byte in the target": with_target(b"/v1/\xff"),
    "no host": with_host(b""),
    "two hosts": with_host(b"host: a\r\nhost: b\r\n"),
    "two equal hosts": with_host(b"host: a\r\nhost: a\r\n"),
    "host with query": with_host(b"host: a/?x=\r\n"),
    "host with fragment": with_host(b"host: a#\r\n"),
    "host with user": with_host(b"host: a@evil\r\n"),
    "host list": with_host(b"host: a, b\r\n"),
    # Versions and methods.
    "HTTP/0.9": lambda box: b"GET /healthz\r\n\r\n",
    "HTTP/2.0": lambda box: request_bytes(box, version=b"2.0"),
    "HTTP/2 preface": lambda box: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/1.2": lambda box: request_bytes(box, version=b"1.2"),
    "method in lower case": with_target(b"/v1/chat/completions", b"post"),
    "no such method": with_target(b"/v1/chat/completions", b"FETCH"),
    "TLS": lambda box: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    # Content codings.
    "gzip of nothing": lambda box: request_bytes(box, b"", more=b"content-encoding: gzip\r\n"),
    "not gzip": with_line(b"content-encoding: gzip\r\n"),
    "gzip cut short": lambda box: request_bytes(box, gzip.compress(CHAT_BODY)[:-9], more=b"content-encoding: gzip\r\n"),
    "gzip with a wrong checksum": lambda box: request_bytes(
        box, gzip.compress(CHAT_BODY)[:-8] + bytes(8), more=b"content-encoding: gzip\r\n"
    ),
    "gzip and more": lambda box: request_bytes(
        box, gzip.compress(CHAT_BODY) + b"junk", more=b"content-encoding: gzip\r\n"
    ),
    "two gzips": lambda box: request_bytes(
        box, gzip.compress(CHAT_BODY) + gzip.compress(b"x"), more=b"content-encoding: gzip\r\n"
    ),
    "gzip said twice": lambda box: request_bytes(box, gzip.compress(CHAT_BODY), more=b"content-encoding: gzip\r\n" * 2),
    "gzip in gzip": with_line(b"content-encoding: gzip, gzip\r\n"),
    "brotli": with_line(b"content-encoding: br\r\n"),
    "zstd": with_line(b"content-encoding: zstd\r\n"),
    "deflate": with_line(b"content-encoding: deflate\r\n"),
    "no such coding": with_line(b"content-encoding: x\r\n"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_request_with_two_readings_is_400_and_the_connection_ends(shared_box: Box, name: str) -> None:
    before = len(shared_box.sim.log.entries)
    async with Wire(shared_box) as wire:
        await wire.send(REFUSED[name](shared_box))
        received = await wire.rest()
    answer = parse_answer(received)
    assert answer.status == 400, received[:200]
    assert answer.headers["connection"] == "close"
    assert answer.json["error"]["type"] == "invalid_request_error"
    assert received.count(b"\r\n\r\n") == 1
    assert len(shared_box.sim.log.entries) == before


TAKEN: dict[str, Callable[[Box], bytes]] = {
    "chunked": in_chunks(chunked()),
    "chunked in upper case": with_te(b"CHUNKED"),
    "chunks of one byte": in_chunks(b"".join(b"1\r\n%c\r\n" % byte for byte in CHAT_BODY) + b"0\r\n\r\n"),
    "chunk size with zeros": in_chunks(chunked(size=b"000%x")),
    "chunk extension": in_chunks(chunked(size=b'%x;a=b;c="d"')),
    "gzip": lambda box: request_bytes(box, gzip.compress(CHAT_BODY), more=b"content-encoding: gzip\r\n"),
    "x-gzip": lambda box: request_bytes(box, gzip.compress(CHAT_BODY), more=b"content-encoding: x-gzip\r\n"),
    "gzip in chunks of one byte": lambda box: request_bytes(
        box,
        b"".join(b"1\r\n%c\r\n" % byte for byte in gzip.compress(CHAT_BODY)) + b"0\r\n\r\n",
        more=TE + b"content-encoding: gzip\r\n",
        length=False,
    ),
    "identity": with_line(b"content-encoding: identity\r\n"),
    "HTTP/1.0": lambda box: request_bytes(box, version=b"1.0"),
    "HTTP/1.0 without host": lambda box: request_bytes(box, version=b"1.0", host=b""),
    "HTTP/1.0 keep-alive": lambda box: request_bytes(
        box, version=b"1.0", close=False, more=b"connection: keep-alive\r\n"
    ),
    "empty host": with_host(b"host:\r\n"),
    "host with port": with_host(b"host: [::1]:8700\r\n"),
    "empty lines first": lambda box: b"\r\n\r\n" + request_bytes(box),
    "no space after colons": lambda box: request_bytes(box, host=b"host:t\r\n"),
    "raw bytes in a value": with_line(b"x-a: \xff\xfe\r\n"),
    "unknown expectation": with_line(b"expect: the-unexpected\r\n"),
    "content-type with charset": with_line(b"content-type: Application/JSON ; charset=UTF-8\r\n"),
}


@pytest.mark.parametrize("name", TAKEN)
async def test_what_has_one_reading_is_read_that_way(shared_box: Box, name: str) -> None:
    async with Wire(shared_box) as wire:
        await wire.send(TAKEN[name](shared_box))
        answer = parse_answer(await wire.rest())
    assert answer.status == 200, answer.body
    sent = json.loads(shared_box.sim.log.entries[-1].body)
    assert sent == {**json.loads(CHAT_BODY), "model": "sim-small"}


async def test_trailers_never_become_headers(shared_box: Box) -> None:
    """They come after the decision who calls, and a server in front may have dropped or checked them."""
    key = shared_box.key.encode()
    end = b"0\r\nauthorization: Bearer %b\r\nx-api-key: %b\r\n\r\n" % (key, key)
    raw = request_bytes(shared_box, chunked(end=end), more=TE, length=False, credential=b"")
    assert (await shared_box.raw(raw)).status == 401
    end = b"0\r\nx-signalbox-workload: w-local\r\nx-signalbox-data: nonsense\r\nhost: evil\r\ncontent-length: 3\r\n\r\n"
    answer = await shared_box.raw(request_bytes(shared_box, chunked(end=end), more=TE, length=False))
    assert answer.status in (200, 400)
    assert answer.status == 400 or answer.headers["x-signalbox-placement"] == "chat@openai-env"


async def test_two_requests_in_one_packet_the_first_is_answered_and_the_second_never_sent(shared_box: Box) -> None:
    """Pipelining is not offered; a client that tries is told so by `connection: close` and asks again."""
    before = len(shared_box.sim.log.entries)
    async with Wire(shared_box) as wire:
        await wire.send(request_bytes(shared_box, close=False) * 3)
        received = await wire.rest()
    assert received.count(b"HTTP/1.1 200 OK") == received.count(b"HTTP/1.1 ") == 1
    assert parse_answer(received).headers["connection"] == "close"
    assert len(shared_box.sim.log.entries) == before + 1


async def test_a_request_sent_while_another_runs_is_answered_after_it(shared_box: Box) -> None:
    slow = json.dumps({"model": "w-chat", "messages": [{"role": "user", "content": "[[ttft_ms:200]][[text:first]]"}]})
    async with Wire(shared_box) as wire:
        await wire.send(request_bytes(shared_box, slow.encode(), close=False))
        await asyncio.sleep(0.05)
        await wire.send(request_bytes(shared_box, b"", method=b"GET", target=b"/healthz"))
        assert "first" in (await wire.answer()).body.decode()
        assert (await wire.answer()).json == {"status": "ok"}
        assert await wire.rest() == b""


async def test_garbage_behind_a_good_request_ends_the_connection_after_its_answer(shared_box: Box) -> None:
    async with Wire(shared_box) as wire:
        await wire.send(request_bytes(shared_box, close=False) + b"\x00\x01garbage\r\n\r\n")
        received = await wire.rest()
    assert received.count(b"HTTP/1.1 ") == 1
    assert parse_answer(received).status == 200


async def test_expect_100_continue_is_answered_before_the_body_comes(shared_box: Box) -> None:
    raw = request_bytes(shared_box, more=b"expect: 100-continue\r\n")
    async with Wire(shared_box) as wire:
        await wire.send(raw[:-N])
        assert await wire.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        await wire.send(raw[-N:])
        assert (await wire.answer()).status == 200
    too_large = request_bytes(
        shared_box, b"", more=b"expect: 100-continue\r\ncontent-length: 999999999\r\n", length=False
    )
    async with Wire(shared_box) as wire:
        await wire.send(too_large)
        assert (await wire.answer()).status == 413
    answer = await shared_box.raw(request_bytes(shared_box, version=b"1.0", more=b"expect: 100-continue\r\n"))
    assert answer.status == 200


OFFERS = {
    "h2c, as JVM clients do": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEA\r\n",
    "websocket": b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: x\r\n",
}


@pytest.mark.parametrize("offer", OFFERS)
async def test_an_offer_to_switch_protocols_is_ignored(shared_box: Box, offer: str) -> None:
    async with Wire(shared_box) as wire:
        whole = request_bytes(shared_box, more=OFFERS[offer], close=False)
        for data in (whole, whole[:-20]):
            await wire.send(data)
            if data is not whole:
                await wire.send(whole[-20:])
            answer = await wire.answer()
            assert answer.status == 200, answer.body
            assert "upgrade" not in answer.headers
        in_pieces = request_bytes(shared_box, chunked(), more=TE + OFFERS[offer], length=False, close=False)
        await wire.send(in_pieces)
        assert (await wire.answer()).status == 200
        bare = request_bytes(
            shared_box, b"", method=b"GET", target=b"/healthz", more=OFFERS[offer], length=False, close=False
        )
        await wire.send(bare)
        assert (await wire.answer()).json == {"status": "ok"}
    sent = json.loads(shared_box.sim.log.entries[-1].body)
    assert sent == {**json.loads(CHAT_BODY), "model": "sim-small"}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_who_offers_another_protocol_and_wants_the_connection_closed_gets_both(
    shared_box: Box, version: bytes
) -> None:
    offer = b"connection: close, upgrade\r\nupgrade: h2c\r\n"
    answer = await shared_box.raw(request_bytes(shared_box, version=version, more=offer, close=False), within_s=10)
    assert answer.status == 200
    assert answer.headers["connection"] == "close"


async def test_one_connection_serves_many_requests_good_and_bad(shared_box: Box) -> None:
    async with Wire(shared_box) as wire:
        for number in range(60):
            if number % 3 == 0:
                await wire.send(request_bytes(shared_box, close=False))
                assert (await wire.answer()).status == 200
            elif number % 3 == 1:
                await wire.send(request_bytes(shared_box, b"{", close=False))
                assert (await wire.answer()).status == 400
            else:
                await wire.send(request_bytes(shared_box, close=False, target=b"/v1/nowhere"))
                assert (await wire.answer()).status == 404


async def test_an_http_1_0_client_gets_streams_that_end_with_the_connection(shared_box: Box) -> None:
    body = json.dumps({**json.loads(CHAT_BODY), "stream": True}).encode()
    async with Wire(shared_box) as wire:
        await wire.send(request_bytes(shared_box, body, version=b"1.0", close=False))
        received = await wire.rest()
    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert b"connection: close" in head
    assert rest.startswith(b"data: {")
    assert rest.endswith(b"data: [DONE]\n\n")


async def test_a_request_may_come_in_pieces_of_any_size(shared_box: Box) -> None:
    raw = request_bytes(shared_box)
    for size in (1, 7, 100):
        async with Wire(shared_box) as wire:
            for at in range(0, len(raw), size):
                await wire.send(raw[at : at + size])
            assert (await wire.answer()).status == 200
