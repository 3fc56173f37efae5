"""One request is one trace in a collector: every attempt, the decision and the price; and nothing that is secret."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from collector import Collector, collecting, decode, plain

from process.installation import PATHS, Served, body_of, installation, until
from signalbox.core.tracing import Parent, parent_of
from signalbox.telemetry.protobuf import encode

SECRET = "sk-the-provider-key-canary-4711"
PROMPT = "canary-prompt-4712"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    async with collecting() as made:
        yield made


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with installation(tmp_path) as made:
        yield made


def configured(served: Served, collector: Collector, **otlp: Any) -> Any:
    """Traces to the collector; deployments that fail; a provider's key that must not be seen."""
    config = json.loads(json.dumps(served.config))
    config["deployments"]["broken"] = {**config["deployments"]["chat"], "model": "sim-small!500"}
    for deployment in config["deployments"].values():
        deployment["health"] = {"enabled": False}
        deployment["api_key"] = SECRET
    config["workloads"]["w-broken"] = {"placements": ["broken", "local"]}
    config["workloads"]["w-guarded"] = {"placements": ["chat"], "guards": ["no-secrets"]}
    config["telemetry"] = {
        "log_requests": "all",
        "otlp": {"endpoint": collector.url, "metrics_every_s": 1, "headers": {"x-tenant": "acme"}, **otlp},
    }
    return config


async def test_a_request_is_one_trace_with_all_its_attempts(served: Served, collector: Collector) -> None:
    served.write(configured(served, collector, gen_ai="1.44"))
    await served.start(2)
    calls = [
        (api, workload, stream)
        for stream in (True, False)
        for api, workload in (
            ("chat", "w-chat"),
            ("messages", "w-messages"),
            ("responses", "w-responses"),
            ("chat", "w-broken"),
        )
    ]
    answers = await asyncio.gather(
        *(served.request(PATHS[api], body_of(api, workload, PROMPT, stream=stream)) for api, workload, stream in calls)
    )
    assert {answer.status for answer in answers} == {200}
    rows = {row["attempt_id"]: row for row in served.rows()}
    await until(lambda: len(collector.spans()) >= len(calls) + len(rows), "every span arrives", 20)
    spans = collector.spans()
    assert len({span["spanId"] for span in spans}) == len(spans) == len(calls) + len(rows)
    roots = {span["spanId"]: span for span in spans if "parentSpanId" not in span}
    assert {span["attributes"]["signalbox.request_id"] for span in roots.values()} == {
        answer.headers["x-request-id"] for answer in answers
    }
    attempts = {span["attributes"]["signalbox.attempt_id"]: span for span in spans if "parentSpanId" in span}
    assert attempts.keys() == rows.keys()
    for attempt_id, span in attempts.items():
        row, root, told = rows[attempt_id], roots[span["parentSpanId"]], span["attributes"]
        assert span["traceId"] == root["traceId"]
        assert attempt_id.startswith(root["attributes"]["signalbox.request_id"])
        assert (told["signalbox.deployment"], told["signalbox.state"]) == (row["deployment"], row["state"])
        assert Decimal(told["signalbox.cost_usd"]) == Decimal(row["cost_usd"])
        assert told["signalbox.tokens_out"] == row["tokens_out"] == told["gen_ai.usage.output_tokens"]
        assert told["gen_ai.request.model"] == row["model"]
        assert root["startTimeUnixNano"] <= span["startTimeUnixNano"] <= span["endTimeUnixNano"]
        assert span["endTimeUnixNano"] <= root["endTimeUnixNano"]
        assert (span["status"]["code"] == 2) == (row["state"] == "failed")
    for root in roots.values():
        below = [span for span in attempts.values() if span["parentSpanId"] == root["spanId"]]
        assert root["attributes"]["signalbox.attempts"] == len(below)
        costs = [Decimal(span["attributes"]["signalbox.cost_usd"]) for span in below]
        assert Decimal(root["attributes"]["signalbox.cost_usd"]) == sum(costs) > 0
    broken = [root for root in roots.values() if root["attributes"]["signalbox.workload"] == "w-broken"]
    assert all(root["attributes"]["signalbox.decision.choices"] == ["broken", "local"] for root in broken)
    assert all(root["attributes"]["signalbox.attempts"] > 1 for root in broken)
    # Metrics go the same way, and say what the page says.
    await until(lambda: any(path == "/v1/metrics" for path, *_ in collector.requests), "metrics arrive", 20)
    everything = b"".join(body for _, _, body in collector.requests) + served.errors.read_bytes()
    everything += (await served.admin("/metrics")).body
    for canary in (SECRET, PROMPT, served.key, served.key.split("-")[2]):
        assert canary.encode() not in everything, canary
    assert {headers["x-tenant"] for _, headers, _ in collector.requests} == {"acme"}
    lines = [json.loads(line) for line in served.stderr().splitlines()]
    logged = {line["request"] for line in lines if line["event"] == "request"}
    assert logged == {answer.headers["x-request-id"] for answer in answers}


async def test_a_refused_call_is_a_trace_that_says_which_and_why(served: Served, collector: Collector) -> None:
    config = configured(served, collector, metrics=False)
    config["workloads"]["w-refused"] = {"placements": ["chat"], "data": ["phi"]}
    config["rules"] = [{"id": "phi-stays", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}}]
    served.write(config)
    await served.start()
    answer = await served.request(PATHS["chat"], body_of("chat", "w-refused", PROMPT))
    assert answer.status == 400
    await until(lambda: collector.spans(), "the trace arrives", 20)
    (span,) = collector.spans()
    told = span["attributes"]
    assert told["signalbox.request_id"] == answer.headers["x-request-id"]
    assert told["signalbox.decision.refused"] == ["chat"]
    assert told["signalbox.decision.rules"] == ["phi-stays", "placements"]
    assert told["error.type"] == "no_permitted_placement"
    assert told["http.response.status_code"] == 400
    assert "phi" in told["signalbox.labels"]
    assert told["signalbox.attempts"] == 0
    assert PROMPT.encode() not in b"".join(body for *_, body in collector.requests)


async def test_a_trace_that_comes_in_goes_on_to_the_provider(served: Served, collector: Collector) -> None:
    served.write(configured(served, collector, encoding="json", sample=0))
    await served.start()
    await _with_parent(served, PARENT)
    await _with_parent(served, PARENT[:-1] + "0")  # not sampled: passed on, not recorded
    await _with_parent(served, "00-nonsense-1-01")
    received = [entry for entry in served.sim.log.entries if entry.endpoint == "chat"]
    sent = [entry.header("traceparent") for entry in received]
    assert sent[2] is None
    assert sent[0] is not None
    assert sent[1] is not None
    assert sent[0].startswith(PARENT[:36])
    assert sent[0].endswith("-01")
    assert sent[1].startswith(PARENT[:36])
    assert sent[1].endswith("-00")
    await until(lambda: any(path == "/v1/traces" for path, *_ in collector.requests), "the trace arrives", 20)
    bodies = [json.loads(body) for path, _, body in collector.requests if path == "/v1/traces"]
    root, attempt = bodies[0]["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert len(bodies) == 1
    assert root["traceId"] == attempt["traceId"] == PARENT[3:35]
    assert root["parentSpanId"] == PARENT[36:52]
    assert attempt["parentSpanId"] == root["spanId"]
    assert sent[0].split("-")[2] == attempt["spanId"]
    assert not [key for key in plain(attempt["attributes"]) if key.startswith("gen_ai.")], "not asked for"


async def _with_parent(served: Served, traceparent: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    data = json.dumps(body_of("chat", "w-chat", "Hi")).encode()
    writer.write(
        f"POST {PATHS['chat']} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {served.key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ntraceparent: {traceparent}\r\ncontent-length: {len(data)}\r\n\r\n".encode()
        + data
    )
    answer = await asyncio.wait_for(reader.read(-1), 20)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    writer.close()


async def test_what_guards_said_is_told_and_what_they_found_is_not(served: Served, collector: Collector) -> None:
    served.write(configured(served, collector, metrics=False))
    await served.start()
    leaked = "AKIA" + "IOSFODNN7EXAMPLF"
    body = body_of("chat", "w-guarded", f"[[text:the key is {leaked} and more]]")
    await served.request(PATHS["chat"], body)
    await until(lambda: collector.spans(), "the trace arrives", 20)
    events = [event for span in collector.spans() for event in span.get("events", [])]
    said = [plain(event["attributes"]) for event in events if event["name"] == "signalbox.guard"]
    assert {each["signalbox.guard"] for each in said} == {"no-secrets"}
    assert leaked.encode() not in b"".join(body for *_, body in collector.requests) + served.errors.read_bytes()


async def test_a_collector_that_is_away_costs_no_request(served: Served, collector: Collector) -> None:
    collector.answers = [b"503 Not now\r\nretry-after: 1\r\n"] * 2
    served.write(configured(served, collector, metrics=False))
    await served.start()
    assert (await served.request(PATHS["chat"], body_of("chat", "w-chat", "Hi"))).status == 200
    await until(lambda: len(collector.requests) >= 3, "it is tried again", 20)
    assert len(collector.spans()) == 6, "the same body three times"
    # One that nobody may connect to is refused before a byte leaves, and requests go on.
    served.write(configured(served, collector, endpoint="http://169.254.169.254:4318"))
    assert (await served.admin("/api/reload", post=True)).status in (200, 409)
    assert (await served.request(PATHS["chat"], body_of("chat", "w-chat", "Hi"))).status == 200


@pytest.mark.parametrize(
    ("value", "parent"),
    [
        (PARENT, Parent(PARENT[3:35], PARENT[36:52], True)),
        (PARENT.replace("-01", "-00"), Parent(PARENT[3:35], PARENT[36:52], False)),
        ("01" + PARENT[2:] + "-what-comes-later", Parent(PARENT[3:35], PARENT[36:52], True)),
        ("00" + PARENT[2:] + "-more", None),
        ("ff" + PARENT[2:], None),
        (PARENT.upper(), None),
        ("00-" + "0" * 32 + "-00f067aa0ba902b7-01", None),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", None),
        (PARENT[:-1], None),
        ("", None),
        ("-" * 60, None),
    ],
)
def test_only_what_the_standard_allows_is_a_parent(value: str, parent: Parent | None) -> None:
    assert parent_of(value.encode()) == parent


def test_reader_and_writer_agree_with_what_was_written_elsewhere() -> None:
    """Bytes made with opentelemetry-proto 1.45.2, so that writer and reader cannot be wrong together."""
    golden = Path(__file__).parent / "golden" / "trace.protobuf.hex"
    document = decode(bytes.fromhex(golden.read_text()), "ExportTraceServiceRequest")
    span = document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert span["traceId"] == PARENT[3:35]
    assert plain(span["attributes"]) == {"s": "é", "i": -5, "d": 0.5, "b": True, "l": ["x", "y"]}
    assert (span["kind"], span["startTimeUnixNano"], span["endTimeUnixNano"]) == (2, 1_700_000_000_000_000_000, 7)
    assert span["status"] == {"code": 2, "message": "timeout"}
    assert encode(document, "ExportTraceServiceRequest") == bytes.fromhex(golden.read_text())
