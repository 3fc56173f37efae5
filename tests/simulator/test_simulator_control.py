"""The control API, the log that shows what upstream received, metrics, and HTTP that is not as it should be."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from decimal import Decimal

import openai
import pytest

from signalbox.simulator import ProviderSpec, SimulatorSettings
from signalbox.simulator.settings import default_providers

CHAT = "/openai/v1/chat/completions"
ASK = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}


async def call(connect, sim, method: str, path: str, doc=None):
    raw = await connect(sim.port)
    body = b"" if doc is None else json.dumps(doc).encode()
    raw.writer.write(f"{method} {path} HTTP/1.1\r\nhost: s\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
    status, _, got = await raw.answer()
    return status, json.loads(got) if got[:1] in (b"{", b"[") else got


async def test_the_log_shows_what_upstream_received(sim, connect):
    body = b' {"model" :"sim-small","messages":[{"role":"user","content":"hi"}], "x": 1e400000}'
    raw = await connect(sim.port)
    raw.post(
        CHAT + "?beta=true", body.replace(b"1e400000", b"12345678901234567890123"), authorization="Bearer sk-secret"
    )
    await raw.answer()
    _, log = await call(connect, sim, "GET", "/sim/log?limit=10")
    entry = log[0]
    assert base64.b64decode(entry["body_base64"]) == body.replace(b"1e400000", b"12345678901234567890123")
    assert ["authorization", "Bearer sk-secret"] in entry["headers"]
    assert (entry["path"], entry["provider"], entry["end"], entry["status"]) == (
        CHAT + "?beta=true",
        "openai",
        "complete",
        200,
    )


async def test_bill_prices_reset_and_health(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ASK, x_client_request_id="at-1")
    await raw.answer()
    _, bill = await call(connect, sim, "GET", "/sim/bill")
    assert bill["rows"][0]["client_request_id"] == "at-1"
    assert bill["total"]["cost_pico"] == bill["by_model"][0]["cost_pico"] == bill["rows"][0]["cost_pico"] > 0
    _, prices = await call(connect, sim, "GET", "/sim/prices")
    assert Decimal(prices["prices"]["openai"]["sim-small"]["input_mtok"]) == Decimal("0.25")
    assert sim.prices["openai"]["sim-small"].input_mtok == Decimal("0.25")
    assert (await call(connect, sim, "GET", "/sim/healthz"))[1]["status"] == "ok"
    assert (await call(connect, sim, "POST", "/sim/reset"))[0] == 200
    assert (await call(connect, sim, "GET", "/sim/bill"))[1]["rows"] == []


async def test_faults_by_control_api(sim, connect):
    status, made = await call(connect, sim, "POST", "/sim/faults", {"fault": "503;once", "provider": "openai"})
    assert status == 200
    raw = await connect(sim.port)
    found = []
    for _ in range(2):
        raw.post(CHAT, ASK)
        found.append((await raw.answer())[0])
    assert found == [503, 200]
    _, listed = await call(connect, sim, "GET", "/sim/faults")
    assert listed["faults"][0]["struck"] == 1
    assert listed["known"]["hang"]
    assert (await call(connect, sim, "DELETE", f"/sim/faults/{made['id']}"))[0] == 200
    assert (await call(connect, sim, "DELETE", "/sim/faults/99"))[0] == 404
    for wrong in ({"fault": "nonsense"}, {"fault": "reset_mid@x"}, {"fault": "503", "colour": "red"}, {}, [1]):
        assert (await call(connect, sim, "POST", "/sim/faults", wrong))[0] == 400
    assert (await call(connect, sim, "GET", "/sim/nothing"))[0] == 404


async def test_metrics_follow_what_is_in_flight_unless_pinned(start_simulator, connect):
    spec = default_providers()["vllm"]
    sim = await start_simulator(SimulatorSettings(providers={"vllm": ProviderSpec(spec.models, slots=2)}))
    streams = []
    for _ in range(3):
        raw = await connect(sim.port)
        raw.post(
            "/vllm/v1/chat/completions",
            ASK | {"stream": True, "messages": [{"role": "user", "content": "[[tokens:500]][[delay_ms:20]]"}]},
        )
        await raw.reader.readuntil(b"\r\n\r\n")
        streams.append(raw)
    _, text = await call(connect, sim, "GET", "/vllm/metrics")
    assert b'vllm:num_requests_running{engine="0",model_name="sim-small"} 2.0' in text
    assert b'vllm:num_requests_waiting{engine="0",model_name="sim-small"} 1.0' in text
    pin = {"provider": "vllm", "model": "sim-small", "waiting": 17, "kv_cache": 0.9}
    assert (await call(connect, sim, "POST", "/sim/gauges", pin))[0] == 200
    _, text = await call(connect, sim, "GET", "/vllm/metrics")
    assert b'vllm:num_requests_waiting{engine="0",model_name="sim-small"} 17.0' in text
    assert b'vllm:kv_cache_usage_perc{engine="0",model_name="sim-small"} 0.9' in text


async def test_credentials_are_checked_when_declared(start_simulator, connect):
    models = default_providers()["openai"].models
    sim = await start_simulator(SimulatorSettings(providers={"openai": ProviderSpec(models, api_keys=("sk-1",))}))
    raw = await connect(sim.port)
    for header, status in (({}, 401), ({"authorization": "Bearer sk-1"}, 200), ({"x_api_key": "sk-2"}, 401)):
        raw.post(CHAT, ASK, **header)
        assert (await raw.answer())[0] == status


async def test_wildcard_and_missing_apis(start_simulator, connect):
    models = default_providers()["openai"].models
    spec = ProviderSpec(models, apis=("chat",), wildcard="sim-large")
    sim = await start_simulator(SimulatorSettings(providers={"openai": spec}))
    raw = await connect(sim.port)
    raw.post(CHAT, ASK | {"model": "gpt-anything"})
    status, _, body = await raw.answer()
    assert (status, json.loads(body)["model"]) == (200, "gpt-anything")
    assert sim.bill.rows[0].model == "sim-large"
    raw.post("/openai/v1/responses", {"model": "sim-small", "input": "x"})
    assert (await raw.answer())[0] == 404


async def test_http_as_it_should_not_be(start_simulator, connect):
    sim = await start_simulator(SimulatorSettings(body_bytes_max=1000))
    cases = [
        (b"NONSENSE\r\n\r\n", b"400"),
        (b"POST %b HTTP/1.1\r\ncontent-length: 5000\r\n\r\n" % CHAT.encode() + b"x" * 5000, b"413"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40_000 + b"\r\n", b"431"),
        (b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET /nobody HTTP/1.1\r\n\r\n", b"404"),
        (b"GET %b HTTP/1.1\r\n\r\n" % CHAT.encode(), b"405"),
        (b"POST %b HTTP/1.1\r\ncontent-length: 3\r\n\r\n[1]" % CHAT.encode(), b"400"),
        (b"POST %b HTTP/1.1\r\ncontent-length: 900\r\n\r\n" % CHAT.encode() + b"[" * 900, b"400"),
        (b"POST %b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}" % CHAT.encode(), b"100"),
    ]
    for sent, status in cases:
        raw = await connect(sim.port)
        raw.writer.write(sent)
        got = await raw.all(0.1)
        assert got.split(b" ")[1] == status, sent[:60]
        assert b"Traceback" not in got


async def test_pipelined_and_http_10_requests(sim, connect):
    raw = await connect(sim.port)
    for text in ("one", "two", "three"):
        raw.post(CHAT, ASK | {"stream": True, "messages": [{"role": "user", "content": f"[[text:{text}]]"}]})
    for text in (b"one", b"two", b"three"):
        assert text in (await raw.answer())[2]
    raw = await connect(sim.port)
    body = json.dumps(ASK | {"stream": True}).encode()
    raw.writer.write(b"POST %b HTTP/1.0\r\ncontent-length: %d\r\n\r\n" % (CHAT.encode(), len(body)) + body)
    got = await raw.all()
    assert raw.end == "eof"
    assert got.endswith(b"data: [DONE]\n\n")
    assert b"chunked" not in got


async def test_a_slow_reader_holds_generation_back(sim, connect):
    """Backpressure: an unread stream is not generated into memory, and a cut bills what had been generated."""
    raw = await connect(sim.port)
    raw.post(CHAT, ASK | {"stream": True, "messages": [{"role": "user", "content": "[[tokens:16384]]"}] * 1, "n": 16})
    await asyncio.sleep(0.3)
    raw.writer.transport.abort()
    for _ in range(100):
        if sim.bill.rows:
            break
        await asyncio.sleep(0.01)
    row = sim.bill.rows[0]
    assert row.end == "cut"
    assert 0 < row.tokens_out < 16 * 16384


async def test_stop_settles_what_is_open(sim, connect):
    raw = await connect(sim.port)
    raw.post(CHAT, ASK | {"stream": True, "messages": [{"role": "user", "content": "[[delay_ms:50]]"}]})
    await raw.reader.readuntil(b"\r\n\r\n")
    await sim.stop()
    assert [row.end for row in sim.bill.rows] == ["cut"]


def start_program(*args: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "signalbox.simulator", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_as_a_program(tmp_path):
    settings = tmp_path / "sim.json"
    settings.write_text(
        json.dumps({"providers": {"mine": {"models": {"m": {"prices": {"input_mtok": "1", "output_mtok": 2}}}}}})
    )
    program = start_program("--port", "0", "--json", "--settings", str(settings))
    try:
        started = json.loads(program.stdout.readline())
        assert started["models"] == {"mine": ["m"]}
        client = openai.OpenAI(base_url=started["url"] + "/mine/v1", api_key="x")
        got = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        assert got.choices[0].message.content
    finally:
        os.kill(program.pid, signal.SIGTERM)
        assert program.wait(5) == 0
        program.communicate()


@pytest.mark.parametrize("args", [("--settings", "/nonexistent"), ("--port", "99999"), ("--latency", "maybe")])
def test_a_program_started_wrong(args):
    program = start_program(*args)
    out, err = program.communicate(timeout=10)
    assert program.returncode == 2
    assert out == ""
    assert "Traceback" not in err
