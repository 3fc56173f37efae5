"""Signed tokens in place of keys: what a good one may do, and every way to forge, stretch or confuse one."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from harness import Answer, Box, running
from signalbox.config.issuers import issuers_of
from signalbox.config.jwks import public_keys
from signalbox.config.load import load_text
from signalbox.core.errors import ConfigError, Unauthenticated
from signalbox.gateway.tokens import Tokens

ISSUER, AUDIENCE = "https://login.example.com/", "signalbox"
PRIVATE: dict[str, Any] = {
    "r1": rsa.generate_private_key(65537, 2048),
    "e1": ec.generate_private_key(ec.SECP256R1()),
    "d1": ed25519.Ed25519PrivateKey.generate(),
}
STRANGER = {
    "r1": rsa.generate_private_key(65537, 2048),
    "e1": ec.generate_private_key(ec.SECP256R1()),
    "d1": ed25519.Ed25519PrivateKey.generate(),
}
ALGORITHM = {"r1": "RS256", "e1": "ES256", "d1": "EdDSA"}
BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def jwk(kid: str, **more: Any) -> dict[str, Any]:
    public = PRIVATE[kid].public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        shape = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        shape = {
            "kty": "EC",
            "crv": "P-256",
            "x": b64(point.x.to_bytes(32, "big")),
            "y": b64(point.y.to_bytes(32, "big")),
        }
    else:
        shape = {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return {**shape, "kid": kid, **more}


def signature(key: Any, said: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(said, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(said, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.sign(said)


def token(kid: str = "r1", head: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
    """A good token but for what is asked to be otherwise; a claim of None is left out."""
    now_s = int(time.time())
    told = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "job-7",
        "azp": "backend",
        "exp": now_s + 600,
        "iat": now_s,
        **claims,
    }
    heads = {"alg": ALGORITHM.get(kid), "typ": "JWT", "kid": kid, **(head or {})}
    parts = [{name: value for name, value in one.items() if value is not None} for one in (heads, told)]
    said = ".".join(b64(json.dumps(part).encode()) for part in parts)
    return f"{said}.{b64(signature(key or PRIVATE[kid], said.encode()))}"


def entry(**more: Any) -> dict[str, Any]:
    jwks = json.dumps({"keys": [jwk("r1"), jwk("e1", alg="ES256", use="sig"), jwk("d1")]})
    return {"issuer": ISSUER, "audience": AUDIENCE, "jwks": jwks, **more}


def text_of(issuers: dict[str, Any]) -> bytes:
    place = {"environment": "e", "protocol": "openai", "base_url": "https://llm.example.com/v1", "model": "m"}
    config = {"environments": {"e": {"kind": "on-prem"}}, "deployments": {"d": {**place, "price": "free"}}}
    return json.dumps({**config, "issuers": issuers}).encode()


async def ask(box: Box, credential: str, **more: Any) -> Answer:
    return await box.request("/v1/chat/completions", {**BODY, **more}, key=credential)


@pytest.mark.parametrize("kid", PRIVATE)
async def test_a_good_token_calls_and_is_booked_as_who_it_says(tmp_path: Path, kid: str) -> None:
    async with running(
        tmp_path, {"issuers": {"corp": entry(tenant="acme", team="ops"), "other": entry(audience="x")}}
    ) as box:
        for credential in (
            token(kid),
            token(kid, aud=["x", "y", AUDIENCE][2:], azp="z"),
            token(kid, {"typ": "at+jwt"}),
        ):
            assert (await ask(box, credential)).status == 200
        for header in ("x-api-key", "api-key"):
            answer = await box.request("/v1/chat/completions", BODY, key="", headers={header: token(kid)})
            assert answer.status == 200
        rows = box.rows()
        assert {(row["tenant"], row["team"], row["key_id"]) for row in rows} == {("acme", "ops", "corp:job-7")}
        assert (await box.request("/v1/models", key=token(kid))).status == 200


def altered(text: str, at: int) -> str:
    return text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]


def hmac_of_public() -> str:
    """The oldest confusion: the public key as the secret of a symmetric signature."""
    pem = PRIVATE["r1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    said = ".".join(token(head={"alg": "HS256"}).split(".")[:2])
    return f"{said}.{b64(hmac.new(pem, said.encode(), sha256).digest())}"


NOW_S = int(time.time())
FORGED: dict[str, Callable[[], str]] = {
    "no signature, alg none": lambda: ".".join(token(head={"alg": "none"}).split(".")[:2]) + ".",
    "alg None": lambda: ".".join(token(head={"alg": "None"}).split(".")[:2]) + ".",
    "no alg": lambda: token(head={"alg": None}),
    "HS256 with the public key": hmac_of_public,
    "RS256 said of an EC key": lambda: token("e1", {"alg": "RS256"}),
    "ES256 said of an RSA key": lambda: token("r1", {"alg": "ES256"}),
    "RS512": lambda: token("r1", {"alg": "RS512"}),
    "another key under this kid": lambda: token("r1", key=STRANGER["r1"]),
    "another EC key": lambda: token("e1", key=STRANGER["e1"]),
    "another Ed25519 key": lambda: token("d1", key=STRANGER["d1"]),
    "kid of another key": lambda: token("r1", {"kid": "e1"}),
    "unknown kid": lambda: token("r1", {"kid": "nobody"}),
    "no kid among several": lambda: token("r1", {"kid": None}),
    "kid is a path": lambda: token("r1", {"kid": "../../../../dev/null"}),
    "kid is SQL": lambda: token("r1", {"kid": "x' UNION SELECT 'key' --"}),
    "kid is a list": lambda: token("r1", {"kid": ["r1"]}),
    "jku": lambda: token("r1", {"jku": "https://evil.example.com/jwks.json"}),
    "x5u": lambda: token("r1", {"x5u": "https://evil.example.com/cert.pem"}),
    "its own key": lambda: token("r1", {"jwk": jwk("r1")}, STRANGER["r1"]),
    "crit": lambda: token("r1", {"crit": ["exp"]}),
    "unencoded payload": lambda: token("r1", {"b64": False}),
    "type of something else": lambda: token("r1", {"typ": "secevent+jwt"}),
    "wrong issuer": lambda: token(iss="https://evil.example.com/"),
    "issuer with a slash less": lambda: token(iss=ISSUER.rstrip("/")),
    "no issuer": lambda: token(iss=None),
    "wrong audience": lambda: token(aud="another"),
    "no audience": lambda: token(aud=None),
    "audience of odd type": lambda: token(aud={"a": 1}),
    "expired": lambda: token(exp=NOW_S - 3600),
    "no expiry": lambda: token(exp=None),
    "expiry is text": lambda: token(exp=str(NOW_S + 600)),
    "expiry is true": lambda: token(exp=True),
    "expiry too far off": lambda: token(exp=NOW_S + 10 * 86_400),
    "expiry beyond all numbers": lambda: token(exp=10**400),
    "not yet": lambda: token(nbf=NOW_S + 3600),
    "made in the future": lambda: token(iat=NOW_S + 3600),
    "wrong party": lambda: token(azp="intruder"),
    "a list of parties": lambda: token(azp=["backend"]),
    "no party": lambda: token(azp=None),
    "no subject": lambda: token(sub=None),
    "empty subject": lambda: token(sub=""),
    "subject with a line break": lambda: token(sub="a\r\nb"),
    "long subject": lambda: token(sub="a" * 200),
    "altered head": lambda: altered(token(), 3),
    "altered claims": lambda: altered(token(), 60),
    "altered signature": lambda: altered(token(), -10 + len(token())),
    "signature of another token": lambda: token(sub="a").rpartition(".")[0] + "." + token(sub="b").rpartition(".")[2],
    "same first hundred characters": lambda: token()[:100] + altered(token()[100:], 30),
    "padded": lambda: token() + "==",
    "spelled otherwise": lambda: token()[:-1] + {"A": "B", "Q": "R", "g": "h", "w": "x"}.get(token()[-1], "~"),
    "a fourth part": lambda: token() + ".x",
    "two parts": lambda: ".".join(token().split(".")[:2]),
    "empty parts": lambda: "..",
    "no JSON": lambda: f"{b64(b'no')}.{b64(b'no')}.{b64(b'no')}",
    "a list": lambda: f"{b64(b'[]')}.{b64(b'[]')}.{b64(b'x')}",
    "deep": lambda: f"{b64(b'[' * 5000)}.{b64(b'[' * 5000)}.x",
    "very long": lambda: token(sub="x", more="y" * 20_000),
}  # fmt: skip


async def test_no_forged_token_is_taken_and_none_says_why(tmp_path: Path) -> None:
    issuers = {"corp": entry(authorized_parties=["backend"])}
    async with running(tmp_path, {"issuers": issuers}) as box:
        assert (await ask(box, token())).status == 200
        told: set[str] = set()
        for name, forged in FORGED.items():
            answer = await ask(box, forged())
            assert answer.status == 401, name
            told.add(answer.json["error"]["message"])
        assert len(told) <= 2
        assert len(box.bill()) == 1


async def test_a_token_ends_while_it_is_remembered(tmp_path: Path) -> None:
    issuers = {"corp": entry(leeway_s=0)}
    async with running(tmp_path, {"issuers": issuers}) as box:
        declared = load_text(text_of(issuers), "f")
        tokens = Tokens(issuers_of(declared.config))
        held = token(exp=NOW_S + 500, iat=None)
        keyring = box.worker.gateway.keyring if box.worker.gateway else None
        assert keyring is not None
        assert keyring.principal(held, NOW_S).key_id == tokens.principal(held, NOW_S).key_id == "corp:job-7"
        with pytest.raises(Unauthenticated):
            keyring.principal(held, NOW_S + 500)


async def test_claims_choose_and_never_widen(tmp_path: Path) -> None:
    claimed = entry(tenant_claim="org", team_claim="unit", workloads=["w-chat", "w-local"], workloads_claim="scope")
    async with running(tmp_path, {"issuers": {"corp": claimed}, "teams": {"t": {}}}) as box:
        good: dict[str, Any] = {"org": "acme", "unit": "t"}
        assert (await ask(box, token(**good, scope="w-chat w-embed"))).status == 200
        assert (await ask(box, token(**good, scope=["w-local"]), model="w-local")).status == 200
        assert (await ask(box, token(**good, scope="w-chat"), model="w-local")).status == 404
        assert (await ask(box, token(**good, scope="w-embed w-responses"), model="w-responses")).status == 404
        assert (await ask(box, token(**good, scope=""))).status == 404
        assert (await ask(box, token(**good, scope="*"))).status == 404
        assert (await ask(box, token(**good, scope="w-chat"), model="chat")).status == 404
        for missing in ({"org": None}, {"org": 7}, {"org": "a\nb"}, {"unit": None}, {"scope": None}, {"scope": [1]}):
            assert (await ask(box, token(**{**good, "scope": "w-chat", **missing}))).status == 401, missing
        assert {(row["tenant"], row["team"]) for row in box.rows()} == {("acme", "t")}


async def test_issuers_come_and_go_with_the_configuration(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        held = token()
        assert (await ask(box, held)).status == 401
        assert not await box.configure({**box.config, "issuers": {"corp": entry()}})
        assert (await ask(box, held)).status == 200
        only = json.dumps({"keys": [jwk("e1")]})
        assert not await box.configure({**box.config, "issuers": {"corp": entry(jwks=only)}})
        assert (await ask(box, held)).status == 401
        assert (await ask(box, token("e1", {"kid": None}))).status == 200
        assert not await box.configure({**box.config, "issuers": {}})
        assert (await ask(box, token("e1"))).status == 401
        assert (await ask(box, box.key)).status == 200


SMALL = rsa.generate_private_key(65537, 1024).public_key().public_numbers()
BAD_SETS: dict[str, Any] = {
    "no JSON": "{",
    "no object": "[]",
    "no keys": {"keys": []},
    "no list": {"keys": {"a": 1}},
    "no object in it": {"keys": ["x"]},
    "symmetric": {"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]},
    "private": {"keys": [{**jwk("r1"), "d": "AQAB"}]},
    "small": {"keys": [{"kty": "RSA", "n": number(SMALL.n), "e": number(SMALL.e), "kid": "a"}]},
    "another curve": {"keys": [{**jwk("e1"), "crv": "P-384"}]},
    "off the curve": {"keys": [{**jwk("e1"), "x": b64(b"\1" * 32)}]},
    "another algorithm": {"keys": [jwk("r1", alg="PS256")]},
    "two of a name": {"keys": [jwk("r1"), {**jwk("e1"), "kid": "r1"}]},
    "only for encryption": {"keys": [jwk("r1", use="enc")]},
    "numbers are not": {"keys": [{**jwk("r1"), "n": 5}]},
    "padded": {"keys": [{**jwk("d1"), "x": jwk("d1")["x"] + "="}]},
    "too many": {"keys": [{**jwk("r1"), "kid": str(n)} for n in range(101)]},
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_a_key_set_that_is_none_is_no_configuration(name: str) -> None:
    jwks = BAD_SETS[name] if isinstance(BAD_SETS[name], str) else json.dumps(BAD_SETS[name])
    with pytest.raises(ConfigError, match=r"issuers\.corp\.jwks"):
        load_text(text_of({"corp": entry(jwks=jwks)}), "f")


@given(st.text(max_size=400))
def test_any_text_is_a_key_set_or_an_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert public_keys(text)


TOKENS = Tokens(issuers_of(load_text(text_of({"corp": entry()}), "f").config))


@given(st.lists(st.binary(max_size=60).map(b64) | st.text(alphabet="ey.-_=A", max_size=9), max_size=4))
def test_any_parts_are_a_token_or_unauthenticated(parts: list[str]) -> None:
    with pytest.raises(Unauthenticated):
        TOKENS.principal(".".join(parts), NOW_S)
