"""Sign-in through an OpenID Connect provider: authorization code flow with PKCE, state and nonce.

What the browser carries meanwhile is sealed, so that nothing is held here for somebody who never comes back. Of what
the provider says only the ID token counts, checked against its published keys; the access token is thrown away.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.schema_sign_in import Oidc
from signalbox.control import logout_tokens
from signalbox.control.logout_tokens import Ended, ended_by
from signalbox.control.people import SUBJECT_CHARS_MAX, Person, shown_name, values_of
from signalbox.control.published_keys import FETCH_S, PublishedKeys, Unavailable, asker_for, fetched, json_object
from signalbox.core import jwt
from signalbox.core.errors import UpstreamFault
from signalbox.core.issuers import Address

CALLBACK = "/sign-in/callback"
# How long somebody may take at the provider.
FLOW_S = 600.0
USED_MAX = 10_000
DISCOVERY_S = 3600.0
# While the provider cannot be asked it is asked no more often than this, whoever wants to sign in.
DISCOVERY_AGAIN_S = 5.0
# Keys are fetched again after the first, and hold for the second while that fails.
KEYS_S, KEYS_S_MAX = 3600.0, 86_400.0
# No ID token is made long before it is shown here, or holds for long.
ID_TOKEN_AGE_S_MAX = 600.0
ID_TOKEN_LIFETIME_S_MAX = 86_400.0
CODE_CHARS_MAX = 4096
_NONCE_BYTES = 12


class Refusal(Exception):
    """Somebody is not let in. What is said is for the record."""


class Metadata(msgspec.Struct, frozen=True):
    """What is used of the provider's discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class Flow(msgspec.Struct, frozen=True):
    """One sign-in under way, as the browser carries it. to: where they wanted to go. began_s: Unix."""

    state: str
    nonce: str
    verifier: str
    to: str
    began_s: float


class Returned(msgspec.Struct, frozen=True):
    """With what the provider sent the browser back."""

    state: str = ""
    code: str = ""
    iss: str = ""
    error: str = ""


class Provider:
    """One provider under one configuration. now_s: Unix seconds."""

    def __init__(self, settings: Oidc, now_s: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._now_s = now_s
        self._seal = AESGCM(AESGCM.generate_key(256))
        self._used: dict[str, None] = {}
        self._logouts: dict[str, None] = {}
        self._metadata: Metadata | None = None
        self._metadata_s = 0.0
        self._failed: tuple[float, str] | None = None
        self._keys: PublishedKeys | None = None

    @property
    def redirect_uri(self) -> str:
        """Never from what a browser says that our host is called."""
        return self.settings.console_url.rstrip("/") + CALLBACK

    async def begin(self, to: str) -> tuple[str, str]:
        """(where to send the browser, what it is to carry). Raises Unavailable."""
        metadata = await self._discovered()
        flow = Flow(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), to, self._now_s())
        challenge = base64.urlsafe_b64encode(hashlib.sha256(flow.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.settings.client_id,
                "redirect_uri": self.redirect_uri,
                "scope": " ".join(self.settings.scopes),
                "state": flow.state,
                "nonce": flow.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        joint = "&" if "?" in metadata.authorization_endpoint else "?"
        return f"{metadata.authorization_endpoint}{joint}{query}", self._sealed(flow)

    async def finish(self, carried: str, returned: Returned) -> tuple[Person, str]:
        """(who it is, where they wanted to go). Raises Refusal, and Unavailable while the provider cannot be asked."""
        flow = self._opened(carried)
        if not hmac.compare_digest(flow.state.encode(), returned.state.encode()):
            raise Refusal("the state is not the one that this browser was sent with")
        self._use(flow)
        metadata = await self._discovered()
        if returned.iss != metadata.issuer and (
            returned.iss or metadata.authorization_response_iss_parameter_supported
        ):
            raise Refusal("the answer is another provider's")
        if returned.error:
            raise Refusal(f"the provider says {_word(returned.error)}")
        if not 0 < len(returned.code) <= CODE_CHARS_MAX:
            raise Refusal("there is no code")
        claims = await self._checked(await self._redeemed(metadata, returned.code, flow.verifier), flow.nonce)
        return self._person(claims), flow.to

    async def sign_out_url(self) -> str:
        """Where somebody ends their session at the provider too; empty where there is no such place."""
        try:
            metadata = await self._discovered()
        except Unavailable:
            return ""
        if not metadata.end_session_endpoint:
            return ""
        query = urlencode(
            {
                "client_id": self.settings.client_id,
                "post_logout_redirect_uri": self.settings.console_url.rstrip("/") + "/sign-in",
            }
        )
        joint = "&" if "?" in metadata.end_session_endpoint else "?"
        return f"{metadata.end_session_endpoint}{joint}{query}"

    async def logged_out(self, token: str) -> Ended:
        """Whose sessions a logout token ends. Raises Refusal, and Unavailable while keys cannot be had."""
        await self._discovered()
        settings, keys = self.settings, self._keys
        assert keys is not None
        try:
            signed = jwt.taken_apart(token)
            await self._check_signature(keys, signed, logout_tokens.TYPES)
            ended = ended_by(signed.claims, settings.issuer, settings.client_id, self._now_s(), settings.leeway_s)
        except jwt.BadToken as error:
            raise Refusal(f"logout token: {error}") from None
        if ended.jti in self._logouts:
            raise Refusal("logout token: it was used before")
        return ended

    def took(self, ended: Ended) -> None:
        """A logout token that was carried out does not count again."""
        if len(self._logouts) >= USED_MAX:
            del self._logouts[next(iter(self._logouts))]
        self._logouts[ended.jti] = None

    # --- what the browser carries ---

    def _sealed(self, flow: Flow) -> str:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.urlsafe_b64encode(nonce + self._seal.encrypt(nonce, msgspec.json.encode(flow), None)).decode()

    def _opened(self, carried: str) -> Flow:
        try:
            data = base64.urlsafe_b64decode(carried.encode("ascii"))
            flow = msgspec.json.decode(self._seal.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], None), type=Flow)
        except (ValueError, InvalidTag, msgspec.MsgspecError):
            raise Refusal("this browser was not sent from here") from None
        if not 0 <= self._now_s() - flow.began_s <= FLOW_S:
            raise Refusal("the sign-in took too long")
        return flow

    def _use(self, flow: Flow) -> None:
        if flow.state in self._used:
            raise Refusal("this sign-in has ended already")
        if len(self._used) >= USED_MAX:
            del self._used[next(iter(self._used))]
        self._used[flow.state] = None

    # --- what the provider says ---

    def _address(self, url: str) -> Address:
        return Address(url, self.settings.allow_private, self.settings.ca_file)

    async def _discovered(self) -> Metadata:
        now_s = self._now_s()
        if self._metadata is not None and 0 <= now_s - self._metadata_s < DISCOVERY_S:
            return self._metadata
        if self._failed is not None and 0 <= now_s - self._failed[0] < DISCOVERY_AGAIN_S:
            raise Unavailable(self._failed[1])
        try:
            url = self.settings.issuer.rstrip("/") + "/.well-known/openid-configuration"
            metadata = self._usable(json_object(await fetched(self._address(url))))
        except Unavailable as error:
            self._failed = (self._now_s(), str(error))
            raise
        if self._keys is None or self._keys.address.url != metadata.jwks_uri:
            self._keys = PublishedKeys(self._address(metadata.jwks_uri), self._now_s)
        self._metadata, self._metadata_s, self._failed = metadata, self._now_s(), None
        return metadata

    def _usable(self, document: dict[str, Any]) -> Metadata:
        try:
            metadata = msgspec.convert(document, Metadata)
        except msgspec.ValidationError:
            raise Unavailable("its discovery document lacks an address") from None
        if metadata.issuer != self.settings.issuer:
            raise Unavailable("its discovery document is another issuer's")
        plain = self.settings.issuer.startswith("http://")
        ends = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
        for url in (*ends, *filter(None, [metadata.end_session_endpoint])):
            try:
                origin = origin_of(url.partition("?")[0], private=None, ca_file=None, proxy=None)
            except AddressProblem as problem:
                raise Unavailable(f"an address of its discovery document {problem}") from None
            if origin.scheme != "https" and not plain:
                raise Unavailable("an address of its discovery document is without TLS")
        return metadata

    async def _redeemed(self, metadata: Metadata, code: str, verifier: str) -> str:
        """The ID token for a code."""
        settings = self.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "client_id": settings.client_id,
            "code_verifier": verifier,
        }
        headers = [(b"content-type", b"application/x-www-form-urlencoded")]
        if settings.client_secret is not None:
            secret = settings.client_secret.reveal()
            if settings.client_auth == "post":
                form["client_secret"] = secret
            else:
                pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret)}".encode()
                headers.append((b"authorization", b"Basic " + base64.b64encode(pair)))
        asker = asker_for(self._address(metadata.token_endpoint), headers)
        try:
            heard = await asker.post(urlencode(form).encode(), (), FETCH_S)
        except UpstreamFault as fault:
            raise Unavailable(fault.message) from None
        finally:
            asker.close()
        told = json_object(heard.body) if heard.status in (200, 400, 401) else {}
        token: object = told.get("id_token")
        if heard.status == 200 and isinstance(token, str):
            return token
        if heard.status == 400 and told.get("error") == "invalid_grant":
            raise Refusal("the provider does not take the code")
        said = _word(str(told.get("error", ""))) or f"status {heard.status}"
        raise Unavailable(f"it gives no ID token for a code: {said}")

    async def _checked(self, token: str, nonce: str) -> dict[str, Any]:
        """The claims of an ID token that was made for this sign-in. Raises Refusal."""
        settings, keys = self.settings, self._keys
        assert keys is not None
        try:
            signed = jwt.taken_apart(token)
            await self._check_signature(keys, signed)
            claims = signed.claims
            jwt.expiry(claims, self._now_s(), settings.leeway_s, ID_TOKEN_LIFETIME_S_MAX)
            made = jwt.issued_at(claims)
        except jwt.BadToken as error:
            raise Refusal(f"ID token: {error}") from None
        told: object = claims.get("nonce")
        party: object = claims.get("azp")
        audiences = jwt.audiences(claims)
        if claims.get("iss") != settings.issuer:
            raise Refusal("ID token: it is another issuer's")
        if settings.client_id not in audiences or (len(audiences) > 1 and party is None):
            raise Refusal("ID token: it was made for somebody else")
        if party is not None and party != settings.client_id:
            raise Refusal("ID token: it was made for another party")
        if made is None or made < self._now_s() - ID_TOKEN_AGE_S_MAX - settings.leeway_s:
            raise Refusal("ID token: it was not made just now")
        if not isinstance(told, str) or not hmac.compare_digest(told.encode(), nonce.encode()):
            raise Refusal("ID token: its nonce is not the one that this browser was sent with")
        return claims

    async def _check_signature(
        self, keys: PublishedKeys, signed: jwt.Signed, types: tuple[str, ...] = ("jwt",)
    ) -> None:
        """With a key that nobody knows the set is fetched again, if that may be, and once."""
        if keys.age_s() > KEYS_S:
            await keys.refresh()
        if keys.age_s() > KEYS_S_MAX:
            raise Unavailable(keys.problem or "its keys were fetched a moment ago")
        for last in (False, True):
            try:
                jwt.VerifyingKeys(keys.keys).check(signed, types, self.settings.algorithms)
            except jwt.UnknownKeyId:
                if last or not await keys.refresh():
                    raise
            else:
                return

    def _person(self, claims: dict[str, Any]) -> Person:
        subject: object = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_CHARS_MAX or not subject.isprintable():
            raise Refusal("ID token: it does not say who it is")
        values = values_of(claims, self.settings.roles_claim)
        name = shown_name(claims, self.settings.name_claim, subject)
        sid: object = claims.get("sid")
        return Person(self.settings.issuer, subject, name, values, sid if isinstance(sid, str) else "")


class Providers:
    """The provider of the configuration in force, made anew when that says otherwise. found: its settings."""

    def __init__(self, found: Callable[[], Oidc | None]) -> None:
        self._found = found
        self._made: Provider | None = None

    def now(self) -> Provider | None:
        settings = self._found()
        if settings is None:
            self._made = None
        elif self._made is None or self._made.settings != settings:
            self._made = Provider(settings)
        return self._made


def _word(text: str) -> str:
    """What a provider calls an error, as far as it is one word."""
    return "".join(letter for letter in text[:64] if letter.isascii() and (letter.isalnum() or letter in "_-."))
