"""No byte of a call reaches an environment its labels forbid: on every endpoint, streaming or not, translated or not,
by primary or fallback, however the labels came to be and whatever name the caller used."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from harness import PEPPER, Answer, Box, running, simulated_config
from signalbox.bootstrap.storage import open_store
from signalbox.core.attempts import AttemptFilter
from signalbox.core.link import ApplyKeys
from signalbox.core.records import Refused
from signalbox.ledger.ship import Shipping

pytestmark = pytest.mark.asyncio(loop_scope="module")

ASK: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "secret-canary"}], "max_tokens": 8},
    "/v1/responses": {"input": "secret-canary", "max_output_tokens": 16, "store": False},
    "/v1/messages": {"messages": [{"role": "user", "content": "secret-canary"}], "max_tokens": 8},
    "/v1/completions": {"prompt": "secret-canary", "max_tokens": 8},
}
EVERYWHERE = ["chat", "messages", "responses", "local"]
CONFIG: dict[str, Any] = {
    "health": {"enabled": False},
    "environments": {
        "azure-env": {
            "kind": "private-cloud",
            "region": "eu/de",
            "operator": "sim",
            "attests": ["zero-retention"],
        }
    },
    "workloads": {
        "w-any": {"placements": [*EVERYWHERE]},
        "w-phi": {"placements": [*EVERYWHERE], "data": ["phi"]},
        "w-personal": {"placements": [*EVERYWHERE], "data": ["personal"]},
        "w-nowhere": {"data": ["export-controlled"]},
        "w-clouds": {"placements": ["chat", "messages"]},
        "w-legal": {"data": ["legal"]},
        "w-opaque-phi": {"placements": [*EVERYWHERE], "opaque": ["phi"]},
        "w-internal": {"placements": [*EVERYWHERE], "data": ["internal"]},
    },
    "aliases": {"best": "w-phi", "raw-local": "local"},
    "default_workload": "w-phi",
    "rules": [
        {"id": "phi-stays-here", "when": {"data": ["phi"]}, "allow": {"kind": ["on-prem"]}},
        {"id": "personal-in-eu", "when": {"data": ["personal"]}, "allow": {"region": ["eu"]}},
        {
            "id": "nobody-may",
            "when": {"data": ["export-controlled"]},
            "allow": {"all": [{"kind": ["edge"]}, {"region": ["us"]}]},
        },
        {"id": "legal-not-onward", "when": {"data": ["legal"]}, "allow": {"not": {"region": ["asia"]}}},
    ],
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def law(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    path: Path = tmp_path_factory.mktemp("law") / "state"
    async with running(path, CONFIG) as box:
        yield box


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def fresh(law: Box) -> None:
    law.sim.reset()


async def labelled_key(box: Box, labels: tuple[str, ...] = (), default_workload: str | None = None, **more: Any) -> str:
    """A key with a floor of its own, as a platform operator would keep it in the store."""
    key = await box.new_key(**more)
    row = box.keys.pop()
    box.keys.append(msgspec.structs.replace(row, labels=labels, default_workload=default_workload))
    await box.worker.obey(ApplyKeys(PEPPER, box.keys))
    return key


def reached(box: Box) -> set[str]:
    return {entry.provider for entry in box.sim.log.entries}


def own_rows(box: Box, answer: Answer) -> list[dict[str, Any]]:
    return [row for row in box.rows() if row["call_id"] == answer.headers["x-request-id"]]


CAUSES: dict[str, tuple[str, dict[str, str], tuple[str, ...], set[str]]] = {
    # what makes it so: workload, headers, labels of the key, providers that may see it
    "workload": ("w-phi", {}, (), {"vllm"}),
    "header": ("w-any", {"x-signalbox-data": "phi"}, (), {"vllm"}),
    "header among others": ("w-any", {"x-signalbox-data": "internal, PHI ,personal"}, (), {"vllm"}),
    "key": ("w-any", {}, ("phi",), {"vllm"}),
    "personal workload": ("w-personal", {}, (), {"azure", "vllm"}),
    "personal workload, phi header": ("w-personal", {"x-signalbox-data": "phi"}, (), {"vllm"}),
    "personal key, restricted header": ("w-any", {"x-signalbox-data": "restricted"}, ("personal",), {"azure", "vllm"}),
    "alias": ("best", {}, (), {"vllm"}),
    "auto": ("auto", {}, (), {"vllm"}),
    "a free model name in a workload": ("gpt-4o", {"x-signalbox-workload": "w-phi"}, (), {"vllm"}),
}
FAULTS = ["none", "503", "500", "reset", "429", "401", "html"]


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", ASK)
@pytest.mark.parametrize("cause", CAUSES)
async def test_forbidden_environments_see_nothing_even_when_the_permitted_ones_fail(
    law: Box, cause: str, path: str, stream: bool
) -> None:
    model, headers, labels, allowed = CAUSES[cause]
    key = await labelled_key(law, labels) if labels else None
    answers: dict[str, Answer] = {}
    for fault in FAULTS:
        law.sim.reset()
        if fault != "none":
            for provider in allowed:
                law.sim.fault(fault, provider=provider)
        body = {**ASK[path], "model": model, "stream": stream}
        answers[fault] = await law.request(path, body, key=key, headers=headers)
        assert reached(law) <= allowed, (fault, reached(law))
    ledger = law.rows()
    for fault, answer in answers.items():
        rows = [row for row in ledger if row["call_id"] == answer.headers["x-request-id"]]
        assert {row["environment"] for row in rows} <= {f"{provider}-env" for provider in allowed}
        if fault == "none":
            assert answer.status == 200, answer.body
            assert [row["state"] for row in rows] == ["settled"]
            assert answer.headers["x-signalbox-placement"].endswith(tuple(f"@{name}-env" for name in allowed))
        else:
            assert answer.status in (429, 502, 503), (fault, answer.body)
            assert rows, "a call that fails closed is on record"
            assert {row["state"] for row in rows} <= {"failed", "unknown"}
    if labels:
        law.keys.pop()


@pytest.mark.parametrize("stream", [False, True], ids=["unary", "stream"])
@pytest.mark.parametrize("path", ASK)
async def test_when_the_permitted_one_is_down_the_call_fails_closed(tmp_path: Path, path: str, stream: bool) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        port = await box.sim.start_provider_port("vllm")
        await port.down()
        local = {**simulated_config(box.sim)["deployments"]["local"], "base_url": f"{port.url}/v1"}
        config = simulated_config(box.sim, **CONFIG)
        config["deployments"]["local"] = local
        assert not await box.configure(config)
        for model, headers in (("w-phi", {}), ("w-any", {"x-signalbox-data": "phi"}), ("local", {})):
            answer = await box.request(path, {**ASK[path], "model": model, "stream": stream}, headers=headers)
            assert answer.status == 503, answer.body
            assert 0 < int(answer.headers["retry-after"]) <= 60
            rows = own_rows(box, answer)
            assert [(row["state"], row["environment"], row["cost_usd"]) for row in rows] == [
                ("failed", "vllm-env", "0")
            ]
        assert reached(box) == set()


def refusals(box: Box, answer: Answer) -> list[Refused]:
    """What is on record about refusing this call."""
    store = open_store(box.state)
    try:
        Shipping(store, box.state.journal).ship_once()
        return [row for row in store.refused(AttemptFilter()) if row.call_id == answer.headers["x-request-id"]]
    finally:
        store.close()


def refused(box: Box, answer: Answer) -> list[str]:
    return [row.reason for row in refusals(box, answer)]


ALL_PATHS = {
    **ASK,
    "/v1/messages/count_tokens": {"messages": [{"role": "user", "content": "secret-canary"}]},
    "/v1/embeddings": {"input": "secret-canary"},
}
FORBIDDEN = {
    "workload": ("w-nowhere", {}, ()),
    "header": ("w-any", {"x-signalbox-data": "export-controlled"}, ()),
    "key": ("w-any", {}, ("export-controlled",)),
    "placements and header": ("w-clouds", {"x-signalbox-data": "phi"}, ()),
    "a deployment's name": ("chat", {}, ()),
    "a deployment's name in a workload": ("chat", {"x-signalbox-workload": "w-personal"}, ()),
    "the alias of a deployment": ("raw-local", {"x-signalbox-data": "export-controlled"}, ()),
}


@pytest.mark.parametrize("path", ALL_PATHS)
@pytest.mark.parametrize("name", FORBIDDEN)
async def test_what_is_forbidden_everywhere_is_refused_with_a_record_and_no_retry(
    law: Box, path: str, name: str
) -> None:
    model, headers, labels = FORBIDDEN[name]
    key = await labelled_key(law, labels, deployments=("*",)) if labels else None
    for stream in (False, True):
        body = {**ALL_PATHS[path], "model": model, "stream": stream}
        answer = await law.request(path, body, key=key, headers=headers)
        assert answer.status == 400, answer.body
        assert answer.headers["x-should-retry"] == "false"
        assert answer.headers["x-signalbox-reason"] == "no_permitted_placement"
        assert "secret-canary" not in answer.body.decode()
        (record,) = refusals(law, answer)
        assert record.reason == "no_permitted_placement"
        # A pinned or onward call cannot be explained from labels and configuration alone: the record names the rules.
        assert record.rules
        assert all(rule in answer.body.decode() for rule in record.rules)
        assert own_rows(law, answer) == []
    assert reached(law) == set()
    if labels:
        law.keys.pop()


async def test_a_deployments_name_needs_a_grant_and_keeps_the_floor(law: Box) -> None:
    """`local` may see phi, `chat` may not: naming it gives no way out of the key's default workload."""
    path, body = "/v1/chat/completions", ASK["/v1/chat/completions"]
    plain = await law.new_key()
    granted = await law.new_key(deployments=("local", "chat"))
    free = await labelled_key(law, default_workload="w-any", deployments=("chat",))
    for name in ("local", "chat", "raw-local"):
        answer = await law.request(path, {**body, "model": name}, key=plain)
        assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
        answer = await law.request(path, {**body, "model": name}, key=plain, headers={"x-signalbox-workload": "w-any"})
        assert answer.status == 404
    assert reached(law) == set()
    answer = await law.request(path, {**body, "model": "local"}, key=granted)
    assert answer.status == 200
    assert own_rows(law, answer)[0]["workload"] == "w-phi"
    assert "phi" in own_rows(law, answer)[0]["labels"]
    assert (await law.request(path, {**body, "model": "chat"}, key=granted)).status == 400
    assert reached(law) == {"vllm"}
    assert (await law.request(path, {**body, "model": "chat"}, key=free)).status == 200
    assert (
        await law.request(path, {**body, "model": "chat"}, key=free, headers={"x-signalbox-data": "phi"})
    ).status == 400
    assert (await law.request(path, {**body, "model": "local"}, key=free)).status == 404
    del law.keys[-3:]


async def test_headers_choose_only_among_the_keys_workloads(law: Box) -> None:
    path, body = "/v1/chat/completions", ASK["/v1/chat/completions"]
    key = await law.new_key(workloads=("w-phi",))
    for model, headers in (
        ("w-any", {}),
        ("gpt-4o", {"x-signalbox-workload": "w-any"}),
        ("auto", {"x-signalbox-workload": "w-any"}),
        ("w-phi", {"x-signalbox-workload": "w-any"}),
        ("gpt-4o", {"x-signalbox-workload": "W-PHI"}),
        ("gpt-4o", {"x-signalbox-workload": "w-phi,w-any"}),
        ("gpt-4o", {"x-signalbox-workload": "w-phi", "X-Signalbox-Workload": "w-any"}),
        ("gpt-4o", {"x-signalbox-workload": ""}),
        ("gpt-4o", {"x-signalbox-workload": "local"}),
        ("gpt-4o", {"x-signalbox-workload": "best"}),
    ):
        answer = await law.request(path, {**body, "model": model}, key=key, headers=headers)
        assert answer.status in (400, 404), (model, headers, answer.body)
    assert reached(law) == set()
    assert (await law.request(path, {**body, "model": "auto"}, key=key)).status == 200
    law.keys.pop()


@pytest.mark.parametrize(
    "value", ["phii", "phi;personal", "phi personal", "none", "*", "phi,,x", "\xe9", "public,unknown"]
)
async def test_a_mistyped_data_class_is_refused_rather_than_ignored(law: Box, value: str) -> None:
    for path, body in ALL_PATHS.items():
        answer = await law.request(path, {**body, "model": "w-any"}, headers={"x-signalbox-data": value})
        assert answer.status == 400, value
    assert reached(law) == set()


async def test_a_header_never_lowers_a_label(law: Box) -> None:
    for value in ("public", "internal", "", ",", " "):
        body = {**ASK["/v1/chat/completions"], "model": "w-phi"}
        assert (await law.request("/v1/chat/completions", body, headers={"x-signalbox-data": value})).status == 200
    assert reached(law) == {"vllm"}


IMAGE = "https://example.org/x.png"
CHAT_PARTS = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}]}
ONWARD: dict[str, tuple[str, dict[str, Any]]] = {
    "web search option": ("/v1/chat/completions", {"web_search_options": {}}),
    "live search of another vendor": ("/v1/chat/completions", {"search_parameters": {}}),
    "remote image": ("/v1/chat/completions", CHAT_PARTS),
    "remote image, upper case": (
        "/v1/chat/completions",
        json.loads(json.dumps(CHAT_PARTS).replace("https", "HTTPS")),
    ),
    "file id": (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
    ),
    "store of chat": ("/v1/chat/completions", {"store": True}),
    "provider fallbacks": ("/v1/chat/completions", {"models": ["other"]}),
    "web search tool": ("/v1/responses", {"tools": [{"type": "web_search"}]}),
    "mcp tool": ("/v1/responses", {"tools": [{"type": "mcp", "server_url": "https://evil"}]}),
    "code interpreter": ("/v1/responses", {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}),
    "store by silence": ("/v1/responses", {"store": None}),
    "store said": ("/v1/responses", {"store": True}),
    "background": ("/v1/responses", {"background": True}),
    "previous response": ("/v1/responses", {"previous_response_id": "resp_1"}),
    "conversation": ("/v1/responses", {"conversation": "conv_1"}),
    "stored prompt": ("/v1/responses", {"prompt": {"id": "pmpt_1"}}),
    "remote file": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.org/x.pdf"}]}]},
    ),
    "uploaded image": (
        "/v1/responses",
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
    ),
    "web search of messages": ("/v1/messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    "web fetch": ("/v1/messages", {"tools": [{"type": "web_fetch_20250910", "name": "web_fetch"}]}),
    "code execution": ("/v1/messages", {"tools": [{"type": "code_execution_20250825", "name": "code_execution"}]}),
    "mcp servers": ("/v1/messages", {"mcp_servers": [{"type": "url", "url": "https://evil", "name": "x"}]}),
    "container": ("/v1/messages", {"container": "container_1"}),
    "remote image in messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": IMAGE}}]}]},
    ),
    "remote image in a tool result": (
        "/v1/messages",
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "toolu_1",
                            "content": [{"type": "image", "source": {"type": "url", "url": IMAGE}}],
                        }
                    ],
                }
            ]
        },
    ),
    "file in messages": (
        "/v1/messages",
        {"messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]},
    ),
    "store of completions": ("/v1/completions", {"store": True}),
}


@pytest.mark.parametrize("name", ONWARD)
async def test_what_carries_content_further_is_denied_where_a_rule_says_nothing_else(law: Box, name: str) -> None:
    """`onward` of a rule is `deny` unless it says otherwise. Azure holds `zero-retention`: there `store` is undone. It
    is by a translation as well, which leaves it out."""
    path, more = ONWARD[name]
    for stream in (False, True):
        law.sim.reset()
        answer = await law.request(path, {**ASK[path], **more, "model": "w-legal", "stream": stream})
        if name.startswith("store "):
            assert answer.status == 200, answer.body
            assert reached(law) <= {"azure", "anthropic"} | ({"openai", "vllm"} if "responses" in path else set())
            for entry in law.sim.log.entries:
                assert not json.loads(entry.body).get("store", entry.path.endswith("/responses"))
        else:
            assert answer.status == 400, answer.body
            assert answer.headers["x-signalbox-reason"] == "no_permitted_placement"
            # What a stored prompt says is not known: it counts as everything, and goes nowhere for that alone.
            assert name == "stored prompt" or "It would be permitted without" in answer.body.decode()
            assert refused(law, answer) == ["no_permitted_placement"]
            assert reached(law) == set()


@pytest.mark.parametrize(
    ("path", "tools"),
    [
        ("/v1/chat/completions", [{"type": "quantum_oracle"}]),
        ("/v1/responses", [{"type": "quantum_oracle"}]),
        ("/v1/responses", [{"type": "namespace", "tools": [{"type": "mcp"}]}]),
        ("/v1/messages", [{"type": "quantum_oracle_20300101", "name": "x"}]),
        ("/v1/messages/count_tokens", [{"type": "quantum_oracle_20300101", "name": "x"}]),
    ],
)
async def test_unknown_tool_types_are_refused_at_confidential_and_above(law: Box, path: str, tools: list) -> None:
    for model, headers in (
        ("w-phi", {}),
        ("w-legal", {}),
        ("w-any", {"x-signalbox-data": "confidential"}),
        ("w-any", {"x-signalbox-data": "restricted"}),
    ):
        answer = await law.request(path, {**ALL_PATHS[path], "model": model, "tools": tools}, headers=headers)
        assert answer.status == 400, answer.body
        assert answer.headers["x-signalbox-reason"] == "unknown_tool_type"
        assert refused(law, answer) == ["unknown_tool_type"]
    assert reached(law) == set()


OPAQUE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {
        "messages": [
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}
        ]
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}]}]
    },
    "/v1/messages": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}},
                ],
            }
        ]
    },
}


@pytest.mark.parametrize("path", OPAQUE)
async def test_parts_that_nobody_can_read_take_the_opaque_class(law: Box, path: str) -> None:
    answer = await law.request(path, {**ASK[path], "model": "w-opaque-phi", **OPAQUE[path]})
    assert reached(law) <= {"vllm"}
    assert answer.status in (200, 400)
    rows = own_rows(law, answer)
    assert not rows or "phi" in rows[0]["labels"]
    law.sim.reset()
    answer = await law.request(path, {**ASK[path], "model": "w-internal", **OPAQUE[path]})
    assert "confidential" in own_rows(law, answer)[0]["labels"]
    plain = await law.request(path, {**ASK[path], "model": "w-internal"})
    assert "internal" in own_rows(law, plain)[0]["labels"]


async def test_zero_retention_gets_store_false_whoever_writes_the_body(law: Box) -> None:
    for path, more in (
        ("/v1/responses", {"store": True}),
        ("/v1/responses", {"store": None}),
        ("/v1/chat/completions", {}),
        ("/v1/chat/completions", {"store": True}),
        ("/v1/messages", {}),
    ):
        law.sim.reset()
        body = {**ASK[path], **more, "model": "responses"}
        if body.get("store", 0) is None:
            del body["store"]
        answer = await law.request(path, body, headers={"x-signalbox-workload": "w-any"})
        assert answer.status == 200, answer.body
        assert reached(law) == {"azure"}
        assert json.loads(law.sim.log.entries[-1].body)["store"] is False


DIFFERENTIAL = {
    "escaped key": b'{"mod\\u0065l":"w-any","messages":%b}',
    "escaped key and a decoy in a message": b'{"messages":%b,"x":"\\"model\\":\\"w-phi\\"","\\u006dodel":"w-any"}',
    "nested before": b'{"x":{"model":"chat"},"model":"w-any","messages":%b}',
    "nested behind": b'{"model":"w-any","messages":%b,"x":[{"model":"chat","m":{"model":null}}]}',
    "in a string": b'{"x":"\\"model\\": \\"chat\\",","model":"w-any","messages":%b}',
    "white space": b' \r\n{\t"model"\n:\r "w-any" ,"messages":%b}\n',
    "escaped value": b'{"model":"w\\u002dany","messages":%b}',
    "a key that ends alike": b'{"xmodel":"chat","model":"w-any","model ":"chat","Model":"chat","messages":%b}',
}


@pytest.mark.parametrize("name", DIFFERENTIAL)
async def test_what_was_judged_is_what_is_sent(law: Box, name: str) -> None:
    """The one top-level `model` is replaced, every other byte stays, and a strict reader sees what we saw."""
    raw = DIFFERENTIAL[name] % b'[{"role":"user","content":"x"}]'
    answer = await law.request("/v1/chat/completions", raw, headers={"x-signalbox-data": "phi"})
    assert answer.status == 200, answer.body
    assert reached(law) == {"vllm"}
    sent = law.sim.log.entries[-1].body
    assert json.loads(sent) == {**json.loads(raw), "model": "sim-small"}
    marker = b'"w-any"' if b'"w-any"' in raw else b'"w\\u002dany"'
    assert sent == raw.replace(marker, b'"sim-small"')
