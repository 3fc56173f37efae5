"""GET /v1/models: all of it for OpenAI's clients, page by page for Anthropic's, under any form of its address."""

import json

import anthropic
import openai
import pytest
from raw_client import ENDPOINTS, request_bytes

from harness import Box

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _ids(box: Box, query: str = "") -> tuple[list[str], bool]:
    page = (await box.request("/v1/models" + query)).json
    ids = [model["id"] for model in page["data"]]
    assert (page["first_id"], page["last_id"]) == ((ids[0], ids[-1]) if ids else (None, None))
    return ids, page["has_more"]


async def test_pages_forwards_and_backwards(shared_box: Box) -> None:
    ids, more = await _ids(shared_box)
    assert not more
    assert len(ids) > 8
    pages: dict[str, tuple[list[str], bool]] = {
        "?limit=3": (ids[:3], True),
        f"?limit=3&after_id={ids[2]}": (ids[3:6], True),
        f"?limit=1000&after_id={ids[2]}": (ids[3:], False),
        f"?limit=2&before_id={ids[4]}": (ids[2:4], True),
        f"?limit=4&before_id={ids[4]}": (ids[:4], False),
        f"?limit=1&after_id={ids[0].replace('-', '%2D')}&beta=true": (ids[1:2], True),
        f"?limit={len(ids)}": (ids, False),
        "?order=desc": (ids, False),
    }
    pages[f"?after_id={ids[-1]}"] = ([], False)
    for query, expected in pages.items():
        assert await _ids(shared_box, query) == expected, query


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=many", "limit"),
        ("limit=", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=2&limit=3", "limit"),
        ("after_id=nothing", "after_id"),
        ("before_id=", "before_id"),
        ("after_id=%ff", "after_id"),
        ("after_id=w-chat&before_id=w-chat", "before_id"),
    ],
)
async def test_a_page_that_does_not_exist_is_refused(shared_box: Box, query: str, param: str) -> None:
    refused = await shared_box.request("/v1/models?" + query)
    assert (refused.status, refused.json["error"]["param"]) == (400, param)
    refused = await shared_box.request("/v1/models?" + query, headers={"anthropic-version": "2023-06-01"})
    assert (refused.status, refused.json["error"]["type"]) == (400, "invalid_request_error")


async def test_names_of_others_are_no_place_to_go_on_from(shared_box: Box) -> None:
    key = await shared_box.new_key(workloads=("w-chat",))
    listed = (await shared_box.request("/v1/models", key=key)).json
    assert [model["id"] for model in listed["data"]] == ["w-chat", "auto"]
    foreign = await shared_box.request("/v1/models?after_id=w-messages", key=key)
    unknown = await shared_box.request("/v1/models?after_id=w-nothing", key=key)
    assert (foreign.status, foreign.json) == (unknown.status, unknown.json)


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_anthropics_client_turns_the_pages(shared_box: Box, limit: int) -> None:
    whole, _ = await _ids(shared_box)
    async with anthropic.AsyncAnthropic(base_url=shared_box.url, auth_token=shared_box.key) as client:
        assert [model.id async for model in client.models.list()] == whole
        assert [model.id async for model in client.models.list(limit=limit)] == whole
        backwards = [model.id async for model in client.models.list(limit=limit, before_id=whole[-1])]
        assert sorted(backwards) == sorted(whole[:-1])
        with pytest.raises(anthropic.BadRequestError):
            await client.models.list(limit=0)


async def test_openais_client_has_all_of_them(shared_box: Box) -> None:
    whole, _ = await _ids(shared_box)
    async with openai.AsyncOpenAI(base_url=shared_box.url + "/v1", api_key=shared_box.key) as client:
        assert [model.id async for model in client.models.list()] == whole


@pytest.mark.parametrize(
    "address", ["http://t", "HTTP://t:8700", "https://other.example", "http://[::1]:80", "http://127.0.0.1:"]
)
async def test_the_absolute_form_is_the_same_request(shared_box: Box, address: str) -> None:
    for path, body in [*ENDPOINTS.items(), ("/v1/models", None), ("/v1/models?limit=1", None), ("/healthz", None)]:
        method = b"GET" if body is None else b"POST"
        data = b"" if body is None else json.dumps(body).encode()
        sent = request_bytes(shared_box, data, method=method, target=address.encode() + path.encode())
        plain = await shared_box.request(path, body)
        told = await shared_box.raw(sent)
        assert (told.status, plain.status) == (200, 200), (path, told.body)
        assert set(told.json) == set(plain.json)
        if body is None:
            assert told.json == plain.json


@pytest.mark.parametrize("rest", ["", "/", "?a=/v1/models", "//v1/models", "/v1/../v1/models", "/V1/models"])
async def test_the_absolute_form_leads_nowhere_else(shared_box: Box, rest: str) -> None:
    sent = request_bytes(shared_box, b"", method=b"GET", target=b"http://t" + rest.encode())
    assert (await shared_box.raw(sent)).status == 404


@pytest.mark.parametrize("path", [*ENDPOINTS, "/v1/models", "/v1/models/w-chat"])
async def test_the_absolute_form_needs_the_same_credential(shared_box: Box, path: str) -> None:
    """A host that looks like a public path, or like credentials, opens nothing."""
    body = ENDPOINTS.get(path)
    method, data = (b"GET", b"") if body is None else (b"POST", json.dumps(body).encode())
    for address in ("http://t", "http://healthz"):
        target = address.encode() + path.encode()
        sent = request_bytes(shared_box, data, method=method, target=target, credential=b"")
        assert (await shared_box.raw(sent)).status == 401


async def test_two_requests_behind_each_other_stay_two(shared_box: Box) -> None:
    """What follows an absolute target is a header, whatever it looks like."""
    sent = request_bytes(
        shared_box, b"", method=b"GET", target=b"http://t/healthz", more=b"x: GET http://t/v1/models HTTP/1.1\r\n"
    )
    assert (await shared_box.raw(sent)).json == {"status": "ok"}
