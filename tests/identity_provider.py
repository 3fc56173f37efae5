"""A small OpenID provider on a real socket with real TLS and real signatures, which can be told to misbehave."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from certificates import Authority

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def algorithm_of(key: Key) -> str:
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA" if not hasattr(key, "curve") else "ES256"


def jwk(kid: str, key: Key) -> dict[str, Any]:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "kid": kid, "n": _number(numbers.n), "e": _number(numbers.e), "use": "sig"}
    if isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        x, y = (b64(part.to_bytes(32, "big")) for part in (point.x, point.y))
        return {"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y, "use": "sig"}
    return {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}


def signature(key: Key, said: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(said, padding.PKCS1v15(), SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        r, s = decode_dss_signature(key.sign(said, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return key.sign(said)


def signed(key: Key, head: dict[str, Any], claims: dict[str, Any]) -> str:
    """What is None in head or claims is left out."""
    parts = [{name: value for name, value in one.items() if value is not None} for one in (head, claims)]
    said = ".".join(b64(json.dumps(part).encode()) for part in parts)
    return f"{said}.{b64(signature(key, said.encode()))}"


def new_key(algorithm: str = "ES256") -> Key:
    if algorithm == "RS256":
        return rsa.generate_private_key(65537, 2048)
    return ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else ed25519.Ed25519PrivateKey.generate()


class Asked:
    """An authorization request as a browser brings it, and the code that stands for it."""

    def __init__(self, query: dict[str, str]) -> None:
        self.query = query
        self.code = secrets.token_urlsafe(16)
        self.used = False


class Provider:
    """claims, head: what the next ID token says otherwise; None leaves something out. extra_keys: other entries of the
    key set. metadata: what the discovery document says otherwise. down: every request is answered with a 503. tampered:
    what becomes of the ID token after it was signed. requests: paths asked for."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.ca_file = str(authority.ca_file)
        self.url = ""
        self.client_id, self.client_secret = "console", "a client's secret: 100%"
        self.keys: dict[str, Key] = {"k1": new_key()}
        self.signing = "k1"
        self.signer: Key | None = None
        self.claims: dict[str, Any] = {}
        self.head: dict[str, Any] = {}
        self.extra_keys: list[Any] = []
        self.metadata: dict[str, Any] = {}
        self.key_set: bytes | None = None
        self.answer: dict[str, Any] = {}
        self.tampered: Callable[[str], str] = str
        self.down = False
        self.requests: list[str] = []
        self._codes: dict[str, Asked] = {}

    def forget_used_codes(self) -> None:
        """Takes codes a second time, as no provider should."""
        for asked in self._codes.values():
            asked.used = False

    def authorize(self, location: str) -> dict[str, str]:
        """What a person's consent gives: the query with which the provider sends the browser back."""
        parts = urlsplit(location)
        query = dict(parse_qsl(parts.query))
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.url}/authorize"
        assert query["response_type"] == "code"
        assert query["client_id"] == self.client_id
        assert query["code_challenge_method"] == "S256"
        assert len(query["state"]) >= 20
        assert len(query["nonce"]) >= 20
        assert "openid" in query["scope"].split()
        asked = Asked(query)
        self._codes[asked.code] = asked
        return {"code": asked.code, "state": query["state"], "iss": self.url}

    def token(self, **claims: Any) -> str:
        """A token of this provider."""
        key = self.signer or self.keys[self.signing]
        head = {"alg": algorithm_of(key), "typ": "JWT", "kid": self.signing, **self.head}
        now_s = int(time.time())
        return signed(key, head, {"iss": self.url, "iat": now_s, "exp": now_s + 300, **claims})

    # --- the server ---

    def _discovery(self) -> dict[str, Any]:
        told = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "end_session_endpoint": f"{self.url}/logout",
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        return {name: value for name, value in told.items() if value is not None}

    def _redeemed(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self._codes.get(form.get("code", ""))
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        # RFC 6749, 2.3.1: both are form-encoded before they are joined.
        pair = base64.b64encode(b"console:a+client%27s+secret%3A+100%25").decode()
        client = authorization == f"Basic {pair}" or form.get("client_secret") == self.client_secret
        if not client:
            return 401, {"error": "invalid_client"}
        if (
            asked is None
            or asked.used
            or asked.query["code_challenge"] != challenge
            or asked.query["redirect_uri"] != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return 400, {"error": "invalid_grant"}
        asked.used = True
        said = {
            "sub": "u-1",
            "aud": self.client_id,
            "nonce": asked.query["nonce"],
            "preferred_username": "alice",
            "groups": ["staff"],
            **self.claims,
        }
        told = {"access_token": "opaque", "token_type": "Bearer", "id_token": self.tampered(self.token(**said))}
        return 200, {**told, **self.answer}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            lines = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
            body = (await reader.readexactly(int(lines.get("content-length", 0)))).decode()
            path, _, query = head[0].split(" ")[1].partition("?")
            self.requests.append(path)
            if path == "/authorize":
                writer.write(self._consented(query))
                return
            status, answer = self._answer(path, dict(parse_qsl(body)), lines)
            writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\n" % status)
            writer.write(b"content-length: %d\r\nconnection: close\r\n\r\n" % len(answer) + answer)
            await writer.drain()

    def _consented(self, query: str) -> bytes:
        """What a browser gets that comes here: everybody consents at once."""
        back = urlencode(self.authorize(f"{self.url}/authorize?{query}"))
        to = dict(parse_qsl(query))["redirect_uri"]
        return f"HTTP/1.1 302 X\r\nlocation: {to}?{back}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()

    def _answer(self, path: str, form: dict[str, str], lines: dict[str, str]) -> tuple[int, bytes]:
        if self.down:
            return 503, b"{}"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self._discovery()).encode()
        if path == "/jwks":
            listed = [jwk(kid, key) for kid, key in self.keys.items()]
            return 200, self.key_set or json.dumps({"keys": [*listed, *self.extra_keys]}).encode()
        if path == "/token":
            status, told = self._redeemed(form, lines.get("authorization", ""))
            return status, json.dumps(told).encode()
        return 404, b"{}"


@contextlib.asynccontextmanager
async def provider(folder: Path) -> AsyncIterator[Provider]:
    made = Provider(Authority(folder))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=made.authority.server_context())
    made.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


async def serve_alone(folder: Path, port: int) -> None:
    """For browsers: at https://localhost:PORT, where everybody is an operator."""
    made = Provider(Authority(folder))
    made.claims = {"groups": ["box-operators"]}
    made.url = f"https://localhost:{port}"
    server = await asyncio.start_server(made.serve, "127.0.0.1", port, ssl=made.authority.server_context())
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve_alone(Path(sys.argv[1]), int(sys.argv[2])))
