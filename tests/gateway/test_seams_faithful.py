"""Client and upstream of one protocol: the body goes on byte by byte but for the licensed edits."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_client import ENDPOINTS

from harness import Box, running

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    path: Path = tmp_path_factory.mktemp("faithful") / "state"
    async with running(path, {"workloads": {"sim-small": {"placements": ["chat"]}}}) as made:
        yield made


SPACE = st.text(alphabet=" \t\r\n", max_size=3)
ODD = st.sampled_from(
    [
        "1E5",
        "-0",
        "1.50",
        "1e-400",
        "123456789012345678901234567890",
        "0.1000000000000000055511151231257827",
        '"\\u00e9\\/\\b"',
        '"\\ud83d\\ude00"',
        '"{\\"model\\":\\"w\\"}"',
        '"\u00e9\u2028"',
        '{"model":"inner","b":[1 , 2]}',
        '[ {"model" : "x"} , [ ] ]',
        "{ }",
        "null",
        "true",
        '{"z":1,"a":2}',
    ]
)
KEYS = st.sampled_from(["x_a", "x_b", "\\u0078_c", "x d", "x_\u00e9", "Model", "models_", "x\\\\", 'x\\"model'])


@st.composite
def bodies(draw: st.DrawFn, path: str) -> tuple[str, str]:
    """(what stands before the model's value, what stands behind it)."""
    members = [json.dumps(name) + ":" + json.dumps(value) for name, value in ENDPOINTS[path].items() if name != "model"]
    for key in draw(st.lists(KEYS, unique=True, max_size=4)):
        members.append(f'"{key}"{draw(SPACE)}:{draw(SPACE)}{draw(ODD)}')
    members = draw(st.permutations(members))
    at = draw(st.integers(0, len(members)))
    glue = [draw(SPACE) + "," + draw(SPACE) for _ in range(len(members) + 1)]
    before = "".join(member + space for member, space in zip(members[:at], glue, strict=False))
    behind = "".join(space + member for member, space in zip(members[at:], glue[at:], strict=False))
    name = draw(st.sampled_from(['"model"', '"mod\\u0065l"', '"\\u006dodel"']))
    return draw(SPACE) + "{" + before + name + draw(SPACE) + ":" + draw(SPACE), behind + draw(SPACE) + "}" + draw(SPACE)


async def sent_for(box: Box, path: str, before: str, workload: str, behind: str) -> bytes:
    answer = await box.request(path, f'{before}"{workload}"{behind}'.encode())
    assert answer.status == 200, answer.body
    return box.sim.log.entries[-1].body


CASES = {
    "/v1/chat/completions": "w-chat",
    "/v1/messages": "w-messages",
    "/v1/completions": "w-chat",
    "/v1/messages/count_tokens": "w-messages",
    "/v1/embeddings": "w-embed",
}


@given(st.data())
@settings(max_examples=150, deadline=None)
async def test_only_the_models_value_changes(box: Box, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(sorted(CASES)))
    before, behind = data.draw(bodies(path))
    upstream = "sim-embed" if "embed" in path else "sim-small"
    assert await sent_for(box, path, before, CASES[path], behind) == f'{before}"{upstream}"{behind}'.encode()


@given(st.data())
@settings(max_examples=40, deadline=None)
async def test_a_body_that_already_names_the_model_is_sent_as_it_came(box: Box, data: st.DataObject) -> None:
    before, behind = data.draw(bodies("/v1/chat/completions"))
    whole = f'{before}"sim-small"{behind}'.encode()
    assert await sent_for(box, "/v1/chat/completions", before, "sim-small", behind) == whole


@given(st.data())
@settings(max_examples=60, deadline=None)
async def test_a_chat_stream_also_gets_one_member_that_asks_for_usage(box: Box, data: st.DataObject) -> None:
    before, behind = data.draw(bodies("/v1/chat/completions"))
    behind = behind[: behind.rindex("}")] + ', "stream" : true}'
    sent = (await sent_for(box, "/v1/chat/completions", before, "w-chat", behind)).decode()
    brace = before.index("{") + 1
    inserted = '"stream_options":{"include_usage":true},'
    assert sent == before[:brace] + inserted + before[brace:] + '"sim-small"' + behind


@given(st.data())
@settings(max_examples=40, deadline=None)
async def test_a_messages_stream_gets_nothing_but_its_model(box: Box, data: st.DataObject) -> None:
    before, behind = data.draw(bodies("/v1/messages"))
    behind = behind[: behind.rindex("}")] + ', "stream" : true}'
    assert await sent_for(box, "/v1/messages", before, "w-messages", behind) == f'{before}"sim-small"{behind}'.encode()


async def test_a_gzipped_request_goes_on_as_what_it_says(box: Box) -> None:
    raw = json.dumps(ENDPOINTS["/v1/messages"]).encode()
    answer = await box.request("/v1/messages", gzip.compress(raw), headers={"content-encoding": "gzip"})
    assert answer.status == 200
    assert box.sim.log.entries[-1].body == raw.replace(b"w-messages", b"sim-small")
    assert box.sim.log.entries[-1].header("content-encoding") is None


async def test_answers_keep_the_upstreams_model_and_bytes(box: Box) -> None:
    for path, model in CASES.items():
        if path.endswith("count_tokens"):
            continue
        answer = await box.request(path, {**ENDPOINTS[path], "model": model})
        assert answer.json["model"] == ("sim-embed" if "embed" in path else "sim-small")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions"])
async def test_a_byte_order_mark_before_a_stream_does_not_reach_the_client(box: Box, path: str) -> None:
    """Official clients read it as part of the first field's name, and lose the first event or fail."""
    body = {**ENDPOINTS[path], "stream": True}
    healthy = await box.request(path, body)
    fault = box.sim.fault("bom")
    try:
        marked = await box.request(path, body)
    finally:
        box.sim.faults.remove(fault)
    begins = b"event: " if path in ("/v1/responses", "/v1/messages") else b"data: "
    assert healthy.body.startswith(begins)
    assert marked.body.startswith(begins), marked.body[:40]
    assert b"\xef\xbb\xbf" not in marked.body
    assert len(marked.body) == len(healthy.body)
