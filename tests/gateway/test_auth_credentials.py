"""Who calls: every place and shape a credential can come in, and what those that are none learn from the answer."""

import contextlib
import json
import statistics
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_client import CHAT_BODY, request_bytes, told_error

from harness import PEPPER, Answer, Box
from signalbox.core import keys
from signalbox.core.call import Principal
from signalbox.core.errors import Unauthenticated
from signalbox.core.link import ApplyKeys
from signalbox.gateway.auth import Keyring, credential

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(box: Box, lines: bytes, target: bytes = b"/v1/models") -> Answer:
    method, body = (b"GET", b"") if target == b"/v1/models" else (b"POST", CHAT_BODY)
    return await box.raw(request_bytes(box, body, method=method, target=target, credential=lines))


async def test_one_key_in_every_place_it_may_stand(shared_box: Box) -> None:
    key = shared_box.key.encode()
    for lines in (
        b"authorization: Bearer %b\r\n",
        b"Authorization: bearer %b\r\n",
        b"AUTHORIZATION: BEARER %b\r\n",
        b"authorization: Bearer   %b  \r\n",
        b"x-api-key: %b\r\n",
        b"X-API-Key: %b \r\n",
        b"api-key: %b\r\n",
    ):
        assert (await ask(shared_box, lines % key)).status == 200, lines
    same = b"authorization: Bearer %b\r\nx-api-key: %b\r\napi-key: %b\r\n" % (key, key, key)
    assert (await ask(shared_box, same)).status == 200
    assert (await ask(shared_box, b"x-api-key: %b\r\nx-api-key: %b\r\n" % (key, key))).status == 200
    assert (await ask(shared_box, b"x-api-key:\r\nauthorization: Bearer %b\r\napi-key: \r\n" % key)).status == 200


async def test_two_different_credentials_are_refused_wherever_they_stand(shared_box: Box) -> None:
    one, two = shared_box.key.encode(), (await shared_box.new_key()).encode()
    places = (b"authorization: Bearer %b\r\n", b"x-api-key: %b\r\n", b"api-key: %b\r\n")
    for first in places:
        for second in places:
            answer = await ask(shared_box, first % one + second % two)
            assert answer.status == 401
            assert "Two different credentials" in answer.json["error"]["message"]
    for lines in (
        b"authorization: Bearer %b\r\nauthorization: Basic dTpw\r\n" % one,
        b"authorization: Basic dTpw\r\nx-api-key: %b\r\n" % one,
        b"authorization: Bearer %b, Bearer %b\r\n" % (one, two),
        b"x-api-key: %b,%b\r\n" % (one, one),
    ):
        assert (await ask(shared_box, lines)).status == 401, lines


BAD = {
    "none": b"",
    "empty": b"authorization:\r\n",
    "scheme only": b"authorization: Bearer\r\n",
    "scheme and space": b"authorization: Bearer \r\n",
    "no scheme": b"authorization: %(key)s\r\n",
    "basic": b"authorization: Basic c2ItYTpi\r\n",
    "basic with the key": b"authorization: Basic %(key)s\r\n",
    "digest": b"authorization: Digest %(key)s\r\n",
    "tab for space": b"authorization: Bearer\t%(key)s\r\n",
    "quoted": b'authorization: Bearer "%(key)s"\r\n',
    "other key": b"authorization: Bearer sk-proj-1234567890\r\n",
    "sql": b"authorization: Bearer sb-' OR '1'='1' --\r\n",
    "sql in shape": b"x-api-key: sb-aaaaaaaaaaaa-" + b"' OR 1=1;--".ljust(46, b"x") + b"\r\n",
    "invalid utf-8": b"x-api-key: sb-\xff\xfe\xc0\x80\r\n",
    "latin-1 in shape": b"x-api-key: sb-aaaaaaaaaaaa-" + b"\xe9" * 46 + b"\r\n",
    "upper case": b"x-api-key: %(upper)s\r\n",
    "one short": b"x-api-key: %(short)s\r\n",
    "one long": b"x-api-key: %(key)sx\r\n",
    "other secret": b"x-api-key: %(other)s\r\n",
    "unknown id": b"x-api-key: sb-000000000000-" + b"0" * 46 + b"\r\n",
    "in a cookie": b"cookie: authorization=%(key)s\r\n",
    "proxy": b"proxy-authorization: Bearer %(key)s\r\n",
    "underscore": b"x_api_key: %(key)s\r\n",
}


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_credential_is_401_and_says_nothing_else(shared_box: Box, name: str) -> None:
    key = shared_box.key
    parts = {b"key": key.encode(), b"upper": key.upper().encode(), b"short": key[:-1].encode()}
    parts[b"other"] = key[:-1].encode() + (b"0" if key[-1] != "0" else b"1")
    before = len(shared_box.sim.log.entries)
    for target in (b"/v1/models", b"/v1/chat/completions", b"/v1/messages"):
        answer = await ask(shared_box, BAD[name] % parts if b"%(" in BAD[name] else BAD[name], target)
        assert answer.status == 401, (target, answer.body)
        told_error(target.decode(), answer)
        text = answer.body.decode().lower()
        assert "sql" not in text
        assert key.lower() not in text
    assert len(shared_box.sim.log.entries) == before


async def test_a_nul_in_a_credential_never_becomes_a_request(shared_box: Box) -> None:
    answer = await ask(shared_box, b"authorization: Bearer %b\0\r\n" % shared_box.key.encode())
    assert answer.status == 400


async def test_a_credential_of_a_mebibyte_is_too_large_a_header(shared_box: Box) -> None:
    assert (await ask(shared_box, b"x-api-key: %b\r\n" % (b"a" * 2**20))).status == 431
    assert (await ask(shared_box, b"x-api-key: %b\r\n" % (b"a" * 60_000))).status == 401


async def test_a_credential_in_query_or_body_is_no_credential(shared_box: Box) -> None:
    for target in (b"/v1/models?api_key=%b", b"/v1/models?key=%b", b"/v1/models?access_token=%b"):
        raw = request_bytes(shared_box, b"", method=b"GET", target=target % shared_box.key.encode(), credential=b"")
        assert (await shared_box.raw(raw)).status == 401
    body = json.dumps({"api_key": shared_box.key, "model": "w-chat", "messages": []})
    assert (await shared_box.raw(request_bytes(shared_box, body.encode(), credential=b""))).status == 401


async def test_expired_and_revoked_keys_are_refused_at_once(shared_box: Box) -> None:
    expired = await shared_box.new_key(expires_ms=1_000)
    lines = b"x-api-key: %b\r\n" % expired.encode()
    answer = await ask(shared_box, lines)
    assert answer.status == 401
    assert "expired" in answer.json["error"]["message"]
    revoked = await shared_box.new_key()
    assert (await ask(shared_box, b"x-api-key: %b\r\n" % revoked.encode())).status == 200
    shared_box.keys.pop()
    await shared_box.worker.obey(ApplyKeys(PEPPER, shared_box.keys))
    answer = await ask(shared_box, b"x-api-key: %b\r\n" % revoked.encode())
    assert answer.status == 401
    assert answer.json["error"]["message"] == "The API key is unknown, revoked or mistyped."


async def test_a_key_of_another_installation_is_unknown(shared_box: Box) -> None:
    row = shared_box.keys[0]
    ring = Keyring(b"q" * 32, {row.id: (row.secret_hmac, Principal("k", "t", "", None, frozenset()))})
    with pytest.raises(Unauthenticated):
        ring.principal(shared_box.key, 0)


async def test_all_of_a_secret_counts() -> None:
    """A thousand others, and each place of the right one by itself."""
    known, public, secret = keys.mint(7, 9)
    digest = keys.Digester(b"p" * 32).digest(known.partition(f"{public}-")[2])
    ring = Keyring(b"p" * 32, {public: (digest, Principal("k", "t", "", None, frozenset()))})
    assert ring.principal(known, 0).key_id == "k"
    others = [keys.mint(7, number)[0] for number in range(10, 1010)]
    start = len(known) - len(secret) - keys.CHECKSUM_CHARS
    places = range(start, len(known))
    others += [known[:at] + ("0" if known[at] != "0" else "1") + known[at + 1 :] for at in places]
    for other in others:
        with pytest.raises(Unauthenticated):
            ring.principal(other, 0)


async def test_an_unknown_id_costs_what_a_wrong_secret_costs() -> None:
    """CPU time of this thread alone, interleaved, lower quartiles: whoever could tell them apart could list which ids
    exist. What else the machine does falls on both alike or is left out."""
    known, public, secret = keys.mint(7, 9)
    digest = keys.Digester(b"p" * 32).digest(known.partition(f"{public}-")[2])
    ring = Keyring(b"p" * 32, {public: (digest, Principal(public, "t", "", None, frozenset()))})
    assert ring.principal(known, 0).key_id == public
    wrong_secret = known.replace(secret, "0" * len(secret))
    unknown_id = known.replace(public, "z" * len(public))

    def cost_ns(key: str) -> int:
        began = time.thread_time_ns()
        for _ in range(50):
            with contextlib.suppress(Unauthenticated):
                ring.principal(key, 0)
        return time.thread_time_ns() - began

    told: list[tuple[float, float]] = []
    for _ in range(10):
        rounds = [(cost_ns(wrong_secret), cost_ns(unknown_id)) for _ in range(100)]
        one = statistics.quantiles([first for first, _ in rounds], n=4)[0]
        two = statistics.quantiles([second for _, second in rounds], n=4)[0]
        if abs(one - two) < 0.1 * max(one, two):
            return
        told.append((one, two))
    # A difference that is real is there every time, and in the same direction.
    assert len({one < two for one, two in told}) > 1, told


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"api-key", b"x-other", b"cookie"]),
            st.binary(max_size=80) | st.just(b"Bearer " + b"k" * 62) | st.just(b"k" * 62),
        ),
        max_size=5,
    )
)
async def test_any_headers_give_one_credential_or_401(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        found = credential(headers)
    except Unauthenticated:
        return
    assert found
    assert found.isascii()
    assert any(
        name in (b"authorization", b"x-api-key", b"api-key") and found.encode() in value for name, value in headers
    )
