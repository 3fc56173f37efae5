"""Each scripted fault does on the socket what its sentence says, and bills what was generated."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import time
import zlib

import pytest

from signalbox.simulator import ProviderSpec, SimulatorSettings
from signalbox.simulator.fault_kinds import KINDS
from signalbox.simulator.settings import default_providers

CHAT = "/openai/v1/chat/completions"
PATHS = {"chat": CHAT, "responses": "/openai/v1/responses", "messages": "/anthropic/v1/messages"}


def ask(fault: str = "", text: str = "[[tokens:60]]", *, stream: bool = True, endpoint: str = "chat", **more) -> dict:
    model = "sim-small" + ("!" + fault if fault else "")
    if endpoint == "responses":
        return {"model": model, "stream": stream, "input": text} | more
    return {"model": model, "stream": stream, "max_tokens": 100, "messages": [{"role": "user", "content": text}]} | more


def unchunk(raw: bytes) -> tuple[bytes, bool]:
    """The body of a chunked answer as far as it came, and whether its last chunk did."""
    _, _, rest = raw.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size_text, _, rest = rest.partition(b"\r\n")
        size = int(size_text, 16)
        if size == 0:
            return body, True
        body += rest[:size]
        rest = rest[size + 2 :]
    return body, False


def contents(body: bytes) -> int:
    """Chat deltas with text in them."""
    return len(re.findall(rb'"delta":\{"content":', body))


async def exchange(sim, connect, doc, path=CHAT, timeout_s=1.0):
    raw = await connect(sim.port)
    raw.post(path, doc, x_client_request_id="attempt-1")
    return raw, await raw.all(timeout_s)


async def settled(sim, count: int = 1):
    for _ in range(200):
        if len(sim.bill.rows) >= count:
            break
        await asyncio.sleep(0.01)
    return sim.bill.rows[-1]


@pytest.mark.parametrize("endpoint", ["chat", "responses", "messages"])
@pytest.mark.parametrize(
    ("fault", "end", "last_chunk"), [("reset_mid", "reset", False), ("fin", "eof", False), ("eof", "eof", True)]
)
async def test_streams_die_after_exactly_k_tokens(sim, connect, endpoint, fault, end, last_chunk):
    raw, got = await exchange(sim, connect, ask(fault + "@40", endpoint=endpoint), PATHS[endpoint], 0.2)
    body, complete = unchunk(got)
    assert complete is last_chunk
    assert raw.end == end
    deltas = len(re.findall(rb'"delta":\{"content":|"type":"response.output_text.delta"|"text_delta"', body))
    assert deltas == 40
    assert not re.search(rb"\[DONE\]|message_stop|response\.completed", body)
    row = await settled(sim)
    assert (row.end, row.tokens_out, row.fault) == ("fault", 40, fault + "@40")
    rate_in, rate_out = (300_000, 2_400_000) if endpoint == "messages" else (250_000, 2_000_000)
    assert row.cost_pico == row.tokens_in * rate_in + 40 * rate_out


async def test_reset_before_the_first_byte_bills_nothing(sim, connect):
    raw, got = await exchange(sim, connect, ask("reset"))
    assert (raw.end, got) == ("reset", b"")
    assert (sim.bill.rows[0].end, sim.bill.rows[0].cost_pico) == ("fault", 0)


async def test_close_without_answer(sim, connect):
    raw, got = await exchange(sim, connect, ask("close"))
    assert (raw.end, got) == ("eof", b"")


async def test_hang_never_answers_and_notices_the_client_leaving(sim, connect):
    raw, got = await exchange(sim, connect, ask("hang"), timeout_s=0.2)
    assert (raw.end, got) == ("open", b"")
    assert sim.bill.rows == []
    raw.writer.close()
    row = await settled(sim)
    assert (row.end, row.cost_pico) == ("fault", 0)
    assert sim.log.entries[0].closed_ms > sim.log.entries[0].at_ms


async def test_slow_headers_come_byte_by_byte(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("slow_headers@20ms"))
    sizes = [len(await raw.reader.read(100)) for _ in range(10)]
    assert sizes == [1] * 10


async def test_ttft_delays_everything_and_first_token_only_the_token(sim, connect):
    raw = await connect(sim.port)
    began = time.monotonic()
    raw.post(CHAT, ask("ttft@150ms"))
    await raw.reader.readuntil(b"\r\n\r\n")
    assert time.monotonic() - began >= 0.15
    raw = await connect(sim.port)
    began = time.monotonic()
    raw.post(CHAT, ask("first_token@2000ms"))
    await raw.reader.readuntil(b"\r\n\r\n")
    assert time.monotonic() - began < 1.5
    await raw.reader.readuntil(b"data: ")
    assert time.monotonic() - began >= 0.2


async def test_half_close_sends_fin_and_keeps_reading(sim, connect):
    raw, got = await exchange(sim, connect, ask("half_close@5"))
    assert raw.end == "eof"
    assert contents(unchunk(got)[0]) == 5
    assert len(sim.connections) == 1
    raw.writer.write(b"x")
    await raw.writer.drain()
    await asyncio.sleep(0.05)
    raw.writer.write(b"y")
    await raw.writer.drain()


async def test_stall_stops_and_then_goes_on(sim, connect):
    began = time.monotonic()
    raw = await connect(sim.port)
    raw.post(CHAT, ask("stall@20/300ms"))
    before, _ = unchunk(await raw.all(0.15))
    assert contents(before) == 20
    rest = await raw.all(0.4)
    assert b"[DONE]" in rest
    assert time.monotonic() - began >= 0.3
    assert (await settled(sim)).end == "complete"


async def test_a_client_that_leaves_a_stall_pays_for_what_came(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("stall@20"))
    await raw.all(0.1)
    raw.writer.close()
    row = await settled(sim)
    assert (row.end, row.tokens_out) == ("cut", 20)


async def sse_body(sim, connect, fault, text="[[tokens:12]]", endpoint="chat") -> bytes:
    raw = await connect(sim.port)
    raw.post(PATHS[endpoint], ask(fault, text, endpoint=endpoint))
    status, headers, body = await raw.answer()
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    return body


async def test_malformed_streams(sim, connect):
    async def body(fault: str) -> bytes:
        got = re.sub(rb'sim[0-9a-f]{16}|"created":\d+,', b"", await sse_body(sim, connect, fault))
        return got.replace(b"sim-small!" + fault.encode(), b"sim-small")

    healthy = await body("")

    assert await body("cr") == healthy.replace(b"\n", b"\r")
    assert await body("crlf") == healthy.replace(b"\n", b"\r\n")
    assert await body("no_space") == healthy.replace(b"data: ", b"data:")
    assert await body("bom") == b"\xef\xbb\xbf" + healthy
    assert await body("comments") == healthy.replace(b"data: ", b": simulator\n\ndata: ")
    assert await body("dup_done") == healthy + b"data: [DONE]\n\n"
    assert await body("no_done") == healthy.removesuffix(b"data: [DONE]\n\n")
    after = await body("after_done")
    assert after.startswith(healthy)
    assert contents(after) == 13
    events, healthy_events = (await body("no_blank_line@3")).split(b"\n\n"), healthy.split(b"\n\n")
    assert len(events) == len(healthy_events) - 1
    spoilt = (await body("bad_json@10")).split(b"\n\n")
    for number, event in enumerate(spoilt[:-2], 1):
        if number == 10:
            with pytest.raises(json.JSONDecodeError):
                json.loads(event.removeprefix(b"data: "))
        else:
            json.loads(event.removeprefix(b"data: "))
    longest = max((await sse_body(sim, connect, "long_line")).split(b"\n"), key=len)
    assert 1 << 20 <= len(longest) <= (1 << 20) + 64
    json.loads(longest.removeprefix(b"data: "))


async def test_slices_split_everything_but_change_nothing(sim, connect):
    text = "[[text:héllo 🚂 wörld]]"
    raw = await connect(sim.port)
    raw.post(CHAT, ask("slice@1", text))
    first = await raw.reader.read(1000)
    assert len(first) < 200
    got = first + await raw.all(0.3)
    said = "".join(
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in unchunk(got)[0].split(b"\n")
        if line.startswith(b"data: {")
    )
    assert said == "héllo 🚂 wörld"


async def test_bandwidth_is_limited(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("bandwidth@2000", stream=False))
    began = time.monotonic()
    _, _, body = await raw.answer()
    assert time.monotonic() - began > len(body) / 2000 * 0.8


async def test_diverge_changes_the_answer_from_token_k_on(sim, connect):
    def said(body: bytes) -> list[str]:
        return json.loads(body)["choices"][0]["message"]["content"].split()

    answers = []
    for fault in ("", "diverge@5"):
        raw = await connect(sim.port)
        raw.post(CHAT, ask(fault, "[[tokens:12]]", stream=False))
        answers.append(said((await raw.answer())[2]))
    same, other = answers
    assert same[:5] == other[:5]
    assert all(a != b and a.lower() == b.lower() for a, b in zip(same[5:], other[5:], strict=True))


@pytest.mark.parametrize("stream", [True, False])
async def test_answers_that_are_none(sim, connect, stream):
    for fault, kind, start in (
        ("html", "text/html", b"<!doctype"),
        ("error_body", "application/json", b'{"error"'),
        ("empty", "text/event-stream" if stream else "application/json", b""),
    ):
        raw = await connect(sim.port)
        raw.post(CHAT, ask(fault, stream=stream))
        status, headers, body = await raw.answer()
        assert status == 200
        assert headers["content-type"].startswith(kind)
        assert body.startswith(start)
        assert (sim.bill.rows[-1].end, sim.bill.rows[-1].cost_pico) == ("fault", 0)


async def test_cut_json_wrong_type_and_gzip(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("cut_json", stream=False))
    with pytest.raises(json.JSONDecodeError):
        json.loads((await raw.answer())[2])
    raw.post(CHAT, ask("wrong_type", stream=False))
    assert (await raw.answer())[1]["content-type"] == "text/plain"
    raw.post(CHAT, ask("gzip", stream=False), accept_encoding="identity")
    _, headers, body = await raw.answer()
    assert headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(body))["object"] == "chat.completion"
    raw.post(CHAT, ask("gzip"))
    _, headers, body = await raw.answer()
    assert zlib.decompressobj(31).decompress(body).endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("fault", "name", "value"),
    [
        ("429", "retry-after", None),
        ("429@2", "retry-after", "2"),
        ("429@3600", "retry-after", "3600"),
        ("429@-1", "retry-after", "-1"),
        ("429@250ms", "retry-after-ms", "250"),
        ("429@date", "retry-after", "GMT"),
    ],
)
async def test_rate_limit_answers(sim, connect, fault, name, value):
    raw = await connect(sim.port)
    raw.post(CHAT, ask(fault))
    status, headers, body = await raw.answer()
    assert status == 429
    assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
    found = headers.get(name)
    assert found is None if value is None else found.endswith(value)
    assert (sim.bill.rows[-1].end, sim.bill.rows[-1].cost_pico) == ("rejected", 0)


async def test_statuses_redirect_prefill_and_poison(sim, connect):
    raw = await connect(sim.port)

    async def status(fault: str, **more) -> int:
        raw.post(CHAT, ask(fault, **more))
        return (await raw.answer())[0]

    for number in (401, 403, 404, 500, 503, 529, 400, 422):
        assert await status(str(number)) == number
    raw.post(CHAT, ask("redirect"))
    answer = await raw.answer()
    assert answer[0] == 302
    assert answer[1]["location"].startswith("http://169.254.169.254")
    tail = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert await status("prefill", messages=tail) == 400
    assert await status("prefill") == 200
    assert await status("poison@cursed", text="a cursed word") == 500
    assert await status("poison@cursed", text="a fine word") == 200
    doc = ask("", "poisoned")
    digest = hashlib.sha256(json.dumps(doc).encode()).hexdigest()
    sim.fault("500", body_sha256=digest[:16])
    raw.post(CHAT, doc)
    assert (await raw.answer())[0] == 500
    raw.post(CHAT, ask("", "healthy"))
    assert (await raw.answer())[0] == 200


async def test_usage_lies(sim, connect):
    raw = await connect(sim.port)

    async def usage(fault: str, **more):
        raw.post(CHAT, ask(fault, "[[tokens:12]]", stream=False, **more))
        return json.loads((await raw.answer())[2]).get("usage"), sim.bill.rows[-1]

    told, row = await usage("no_usage")
    assert told is None
    assert row.tokens_out == 12
    told, row = await usage("zero_usage")
    assert (told["completion_tokens"], row.tokens_out) == (0, 12)
    told, row = await usage("wrong_usage@5")
    assert (told["completion_tokens"], row.tokens_out) == (17, 12)
    told, row = await usage("over_max@50", max_tokens=4)
    assert (told["completion_tokens"], row.tokens_out) == (54, 54)
    raw.post(CHAT, ask("over_max@50", "[[tokens:12]]", max_tokens=4, stream_options={"include_usage": True}))
    body = (await raw.answer())[2]
    assert b'"completion_tokens":54' in body
    assert sim.bill.rows[-1].tokens_out == 54
    assert sim.bill.rows[-1].end == "complete"


async def test_stale_keep_alive(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ask("stale", stream=False))
    assert (await raw.answer())[0] == 200
    raw.post(CHAT, ask("stale", stream=False))
    assert await raw.all() == b""
    assert raw.end in ("eof", "reset")
    raw = await connect(sim.port)
    raw.post(CHAT, ask("close_after", stream=False))
    status, headers, _ = await raw.answer()
    assert status == 200
    assert headers.get("connection") != "close"
    assert await raw.all() == b""
    assert raw.end == "eof"


async def test_limits_of_a_suffix(sim, connect):
    raw = await connect(sim.port)

    async def statuses(fault: str, count: int) -> list[int]:
        found = []
        for _ in range(count):
            raw.post(CHAT, ask(fault, stream=False))
            found.append((await raw.answer())[0])
        return found

    assert await statuses("500;once", 3) == [500, 200, 200]
    assert await statuses("503;n=2", 3) == [503, 503, 200]
    assert await statuses("500;nth=3;once", 4) == [200, 200, 500, 200]
    assert await statuses("503;for=0.2", 2) == [503, 503]
    await asyncio.sleep(0.25)
    assert await statuses("503;for=0.2", 1) == [200]
    assert await statuses("500;sometimes", 1) == [400]


async def test_booked_faults_match_and_expire(sim, connect):
    number = sim.fault("503", provider="openai", endpoint="chat", count=2, nth=2)
    raw = await connect(sim.port)
    found = []
    for path in (CHAT, CHAT, "/azure/v1/chat/completions", CHAT, CHAT):
        raw.post(path, ask(stream=False))
        found.append((await raw.answer())[0])
    assert found == [200, 503, 200, 503, 200]
    assert sim.faults.remove(number)


async def test_several_faults_at_once(sim, connect):
    began = time.monotonic()
    _, got = await exchange(sim, connect, ask("ttft@100ms!eof@7"), timeout_s=0.3)
    assert time.monotonic() - began >= 0.1
    assert contents(unchunk(got)[0]) == 7


async def test_a_provider_port_goes_down_and_comes_back(sim, connect):
    port = await sim.start_provider_port("vllm")
    raw = await connect(port.port)
    raw.post("/v1/chat/completions", ask(stream=False))
    assert (await raw.answer())[0] == 200
    assert sim.bill.rows[-1].provider == "vllm"
    await port.down()
    await raw.all()
    with pytest.raises(ConnectionRefusedError):
        await connect(port.port)
    await port.up()
    raw = await connect(port.port)
    raw.post("/v1/chat/completions", ask(stream=False))
    assert (await raw.answer())[0] == 200


async def test_every_fault_has_a_sentence_and_survives_every_endpoint(start_simulator, connect):
    """No fault may break the simulator itself, on any endpoint, streamed or not."""
    small = {name: ProviderSpec(spec.models) for name, spec in default_providers().items()}
    sim = await start_simulator(SimulatorSettings(providers=small))
    argument = {"slow_headers": "@1ms", "ttft": "@1ms", "first_token": "@1ms", "stall": "@2/1ms"}
    argument |= {"status": "@500", "bandwidth": "@1000000"}

    async def one(spec: str, endpoint: str, stream: bool) -> None:
        raw = await connect(sim.port)
        raw.post(PATHS[endpoint], ask(spec, "[[tokens:45]]", stream=stream, endpoint=endpoint))
        await raw.all(0.2)
        raw.writer.close()

    assert all(kind.__doc__ for kind in KINDS.values())
    cases = [
        one(name + argument.get(name, ""), endpoint, stream)
        for name in KINDS
        for endpoint in PATHS
        for stream in (True, False)
    ]
    count = len(cases)
    await asyncio.gather(*cases)
    for _ in range(300):
        if len(sim.bill.rows) == count:
            break
        await asyncio.sleep(0.01)
    assert len(sim.bill.rows) == count
    assert all(state.running == 0 for state in sim.providers.values())


async def test_a_fault_leaves_no_trace_in_later_answers(sim, connect):
    """The healthy answer to the same bytes is remembered: a fault must neither find it nor spoil it."""
    raw = await connect(sim.port)
    doc = ask("", "[[tokens:12]]", stream=False)
    said = []
    for spec in ("", "over_max@50", "diverge", ""):
        number = sim.fault(spec) if spec else 0
        raw.post(CHAT, doc)
        body = json.loads((await raw.answer())[2])
        said.append((body["choices"][0]["message"]["content"], body["usage"]["completion_tokens"]))
        sim.faults.remove(number)
    assert said[0] == said[3]
    assert said[1] == (said[0][0], 62)
    assert said[2] == (said[0][0].swapcase(), 12)
