"""Every route of the table: who may ask it, how, and that nothing but its exact spelling reaches it."""

import pytest
from raw_client import ENDPOINTS, request_bytes, told_error

from harness import Box
from signalbox.gateway.app import MODEL_ROUTE, ROUTES

pytestmark = pytest.mark.asyncio(loop_scope="module")

PUBLIC = {b"/healthz", b"/readyz"}
PATHS = [path.decode() for path in ROUTES] + ["/v1/models/w-chat"]
PRIVATE = [path for path in PATHS if path.encode() not in PUBLIC]
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"]


def allowed(path: str) -> set[str]:
    return {method.decode() for method in ROUTES.get(path.encode(), MODEL_ROUTE).methods}


def body_of(path: str) -> dict | None:
    return ENDPOINTS.get(path)


async def test_only_the_health_checks_are_public() -> None:
    assert {path for path, route in ROUTES.items() if route.public} == PUBLIC
    assert not MODEL_ROUTE.public
    assert set(ENDPOINTS) == {path.decode() for path, route in ROUTES.items() if b"POST" in route.methods}


@pytest.mark.parametrize("path", PATHS)
async def test_no_credential_is_401_in_the_routes_own_dialect(shared_box: Box, path: str) -> None:
    """Also holds for a route that is added tomorrow: the table is the list of cases."""
    before = len(shared_box.sim.log.entries)
    for method in sorted(allowed(path) - {"HEAD"}):
        for body in (body_of(path), b"", b"{", b"[1]"):
            if method == "GET" and body is not None:
                continue
            answer = await shared_box.request(path, body, method=method, key="")
            if path.encode() in PUBLIC:
                assert answer.status == 200
                continue
            assert answer.status == 401, (path, body, answer.body)
            expected = "authentication_error" if path.startswith("/v1/messages") else "invalid_api_key"
            assert told_error(path, answer) == expected
            assert answer.headers["x-should-retry"] == "false"
            assert answer.headers["x-request-id"] == answer.headers["request-id"]
    assert len(shared_box.sim.log.entries) == before


@pytest.mark.parametrize("path", PATHS)
async def test_the_wrong_method_is_405(shared_box: Box, path: str) -> None:
    before = len(shared_box.sim.log.entries)
    for method in METHODS:
        if method in allowed(path):
            continue
        answer = await shared_box.raw(request_bytes(shared_box, method=method.encode(), target=path.encode()))
        assert answer.status == 405, (method, path)
        if method != "HEAD":
            assert told_error(path, answer) in ("method_not_allowed", "invalid_request_error")
    assert len(shared_box.sim.log.entries) == before


def variants(path: str) -> list[str]:
    last = path.rsplit("/", 1)[1]
    return [
        "/" + path,
        path + "/",
        path + "//",
        path.replace("/v1", "/v1/", 1),
        path.replace("/v1", "/V1", 1),
        path.upper(),
        path.replace("/v1", "", 1),
        path.replace("/v1", "/v1/.", 1),
        path.replace("/v1", "/v1/x/..", 1),
        path.replace("/v1", "/%76%31", 1),
        path.removesuffix(last) + f"%{ord(last[0]):02x}" + last[1:],
        path.replace("/", "%2f"),
        path + ";a=b",
        path.replace("/v1", "/v1;a=b", 1),
        path + "%00",
        path + "%20",
        path + "%3Fx",
        path + ".json",
        path + "\\",
        path + "/../" + last + "s",
    ]


@pytest.mark.parametrize("path", sorted(ENDPOINTS))
async def test_no_other_spelling_of_a_path_reaches_it(shared_box: Box, path: str) -> None:
    before = len(shared_box.sim.log.entries)
    for spelling in variants(path):
        if spelling.encode() in ROUTES:
            continue
        for key in (None, ""):
            answer = await shared_box.request(
                spelling if spelling[0] == "/" else "/" + spelling, ENDPOINTS[path], key=key
            )
            assert answer.status in (404, 405), (spelling, answer.status)
    assert len(shared_box.sim.log.entries) == before


@pytest.mark.parametrize("query", ["?", "?a=b", "?model=w-local", "?/v1/models", "??", "?%00", "?a=b&beta=true"])
async def test_a_query_changes_neither_the_route_nor_who_may_ask(shared_box: Box, query: str) -> None:
    for path, body in ENDPOINTS.items():
        assert (await shared_box.request(path + query, body, key="")).status == 401
        answer = await shared_box.request(path + query, body)
        assert answer.status == 200, answer.body
        if path == "/v1/responses/input_tokens":
            continue  # goes nowhere
        assert answer.headers["x-signalbox-placement"].startswith(
            {"w-chat": "chat@", "w-responses": "responses@", "w-messages": "messages@", "w-embed": "embed@"}[
                str(body["model"])
            ]
        )


@pytest.mark.parametrize("base", ["", "/v1/v1", "/openai/v1"])
@pytest.mark.parametrize("path", sorted(ENDPOINTS))
async def test_a_wrong_base_url_is_told_the_right_path(shared_box: Box, path: str, base: str) -> None:
    answer = await shared_box.request(base + path.removeprefix("/v1"), ENDPOINTS[path])
    assert answer.status == 404
    assert f"Did you mean {path}?" in answer.json["error"]["message"]
    assert (answer.json.get("type") == "error") == (path.startswith("/v1/messages") and "openai" not in base)
    other = await shared_box.request(f"{path}/else", ENDPOINTS[path])
    assert "Did you mean" not in other.json["error"]["message"]


async def test_a_fragment_is_never_part_of_a_path(shared_box: Box) -> None:
    answer = await shared_box.raw(request_bytes(shared_box, target=b"/v1/chat/completions#x"))
    assert answer.status in (400, 404)


async def test_a_model_is_looked_up_by_its_decoded_name_and_nothing_else(shared_box: Box) -> None:
    assert (await shared_box.request("/v1/models/w%2Dchat")).json["id"] == "w-chat"
    for odd in ("W-CHAT", "w-chat%00", "w-chat%0d%0aset-cookie:%20a", "..%2f..%2fetc%2fpasswd", "%ff", "w-chat/", "%"):
        answer = await shared_box.request(f"/v1/models/{odd}")
        assert answer.status == 404, odd
        assert "set-cookie" not in answer.headers
        assert told_error("/v1/models", answer) == "model_not_found"


async def test_head_answers_carry_no_body_whatever_they_say(shared_box: Box) -> None:
    for path, credential, status in (
        ("/healthz", b"", 200),
        ("/v1/models", None, 200),
        ("/v1/models", b"", 401),
        ("/v1/models/none", None, 404),
        ("/v1/nowhere", None, 404),
        ("/v1/chat/completions", None, 405),
    ):
        answer = await shared_box.raw(
            request_bytes(shared_box, b"", method=b"HEAD", target=path.encode(), credential=credential)
        )
        assert answer.status == status
        assert answer.body == b""
        assert int(answer.headers["content-length"]) > 0
