"""Sign-in through an identity provider: who is let in as what, and every way to come in that is not one."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from console_desk import SECRET, Answer, Browser, Desk
from identity_provider import Provider, b64, jwk, new_key, provider, signed
from signalbox.config.load import load_text
from signalbox.console.access import MAY
from signalbox.console.through_provider import FLOW_COOKIE
from signalbox.core.errors import ConfigError
from signalbox.core.keys import ROLES
from signalbox.ledger import actions

PLACES: dict[str, Any] = {
    "environments": {"e": {"kind": "on-prem"}},
    "deployments": {
        "d": {"environment": "e", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m",
              "price": "free"}
    },
}  # fmt: skip
GRANTS = [
    {"value": "box-admins", "role": "admin", "tenant": "*"},
    {"value": "box-operators", "role": "operator"},
    {"value": "box-auditors", "role": "auditor", "tenant": "acme"},
    {"value": "box-developers", "role": "developer", "team": "blue"},
]
GROUP = {"admin": "box-admins", "operator": "box-operators", "auditor": "box-auditors", "developer": "box-developers"}


class House:
    """A console whose people come from a provider."""

    def __init__(self, desk: Desk, source: Provider) -> None:
        self.desk = desk
        self.source = source

    async def configure(self, **more: Any) -> None:
        self.desk.file.write_text(yaml.safe_dump({**PLACES, "sign_in": self.settings(**more)}))
        assert await self.desk.supervisor.reload() == ""

    def settings(self, break_glass: str = "on", **more: Any) -> dict[str, Any]:
        oidc = {
            "issuer": self.source.url, "client_id": self.source.client_id, "client_secret": self.source.client_secret,
            "console_url": "https://console.test", "grants": GRANTS, "ca_file": self.source.ca_file, **more,
        }  # fmt: skip
        return {"break_glass": break_glass, "oidc": {name: one for name, one in oidc.items() if one is not None}}

    def refusals(self) -> list[dict[str, str]]:
        return [one.detail for one in actions.read(self.desk.state.journal) if one.refused]

    def groups(self, *names: str) -> None:
        self.source.claims["groups"] = list(names)


class Person(Browser):
    """Somebody with a browser. carried: the cookie of a sign-in under way."""

    def __init__(self, house: House) -> None:
        super().__init__(house.desk)
        self.house = house
        self.carried = ""

    async def sent(self, to: str = "") -> str:
        """Goes to the provider; the address that the browser is sent to."""
        answer = await self.get("/sign-in/provider" + (f"?to={to}" if to else ""))
        assert answer.status == 303, answer.text
        self.carried = answer.cookie(FLOW_COOKIE)
        return answer.headers["location"]

    async def back(self, query: dict[str, str] | str) -> Answer:
        text = query if isinstance(query, str) else urlencode(query)
        return await self.get(f"/sign-in/callback?{text}", cookie=f"{FLOW_COOKIE}={self.carried}")

    async def comes(self, to: str = "") -> Answer:
        return await self.back(self.house.source.authorize(await self.sent(to)))

    @property
    def signed_in(self) -> bool:
        return "signalbox_session" in self.cookies


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with provider(tmp_path / "idp") as source:
        made = House(Desk(tmp_path / "state"), source)
        await made.configure()
        yield made
        made.desk.close()


async def test_somebody_comes_in_with_their_role_and_it_is_on_record(house: House) -> None:
    person = Person(house)
    house.groups("staff", "box-auditors")
    page = await person.get("/sign-in")
    assert 'href="/sign-in/provider?"' in page.text or "/sign-in/provider?to=" in page.text
    answer = await person.comes("/spend")
    assert answer.status == 200
    assert 'content="0;url=/spend"' in answer.text
    (cookie,) = (one for one in answer.cookies if one.startswith("signalbox_session="))
    assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert any(one.startswith(f'{FLOW_COOKIE}="";') for one in answer.cookies), "it is dropped"
    assert answer.headers["referrer-policy"] == "no-referrer"
    shown = await person.get("/spend")
    assert shown.status == 200
    assert "alice (auditor)" in shown.text
    assert (await person.get("/settings")).status == 200
    (entry,) = actions.read(house.desk.state.journal)
    identity = f"{house.source.url.removeprefix('https://')}#u-1"
    assert (entry.actor, entry.role, entry.action) == (identity, "auditor", "console.sign-in")
    assert entry.detail == {"by": "oidc", "name": "alice", "tenant": "acme"}


async def test_the_way_there_asks_for_what_it_must(house: House) -> None:
    first, second = [dict(parse_qsl(urlsplit(await Person(house).sent()).query)) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    assert first["redirect_uri"] == "https://console.test/sign-in/callback"
    (cookie,) = (await Person(house).get("/sign-in/provider", host="evil.test")).cookies
    assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/sign-in"} <= set(cookie.split("; "))


@pytest.mark.parametrize("how", [{}, {"client_auth": "post"}])
async def test_both_ways_to_show_the_clients_secret(house: House, how: dict[str, Any]) -> None:
    await house.configure(**how)
    house.groups("box-admins")
    assert (await Person(house).comes()).status == 200


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_every_signature_that_is_taken(house: House, algorithm: str) -> None:
    house.groups("box-admins")
    house.source.keys = {"k1": new_key(algorithm)}
    assert (await Person(house).comes()).status == 200
    others = [one for one in ("RS256", "ES256", "EdDSA") if one != algorithm]
    await house.configure(algorithms=others)
    assert (await Person(house).comes()).status == 403
    assert house.refusals()[-1]["why"] == "ID token: its algorithm is not taken"


async def test_every_page_with_every_role_that_a_provider_gives(house: House) -> None:
    """The matrix of roles holds for people as it does for keys."""
    pages = [(method, path) for method, path in MAY if not path.startswith("/api/") and path != "/metrics"]
    for role in ROLES:
        person = Person(house)
        house.groups(GROUP[role])
        assert (await person.comes()).status == 200
        for method, path in pages:
            if path == "/sign-out":
                continue
            await person.get("/requests")
            target = path.replace("{id}", "nobody").replace("{name}", "nobody").replace("{name:path}", "nobody")
            answer = await (person.get(target) if method == "GET" else person.post(target, {}, **SAME))
            assert (answer.status == 403) == (role not in MAY[(method, path)]), (method, path, role)
            assert answer.status < 500, (method, path, role)
        answer = await house.desk.send("GET", "/api/keys", {"cookie": f"signalbox_session={person.cookies}"})
        assert answer.status == 401, "programs have keys"


SAME = {"origin": "https://console.test"}


async def test_an_admin_makes_keys_and_a_developer_only_of_their_own(house: House) -> None:
    admin, developer = Person(house), Person(house)
    house.groups("box-admins")
    await admin.comes()
    await admin.get("/keys")
    assert (await admin.post("/keys", {"name": "theirs", "tenant": "acme"}, **SAME)).status in (200, 201)
    house.source.claims["sub"] = "u-2"
    house.groups("box-developers")
    await developer.comes()
    listed = await developer.get("/keys")
    assert "theirs" not in listed.text
    assert (await developer.post("/keys", {"name": "mine"}, **SAME)).status in (200, 201)
    rows = house.desk.store.run_now(lambda store: store.list_keys())
    mine = next(row for row in rows if row.name == "mine")
    assert (mine.creator.endswith("#u-2"), mine.tenant, mine.team) == (True, "default", "blue")
    assert "mine" in (await developer.get("/keys")).text


NOBODY: dict[str, dict[str, Any]] = {
    "no group that counts": {"groups": ["staff"]},
    "no groups": {"groups": None},
    "groups that are none": {"groups": {"box-admins": True}},
    "a number": {"groups": 1},
    "another spelling": {"groups": ["Box-Admins", "box-admins ", "box-admin"]},
    "words in one text": {"groups": "box-admins box-operators"},
    "the role itself": {"groups": ["admin"], "role": "admin", "roles": ["admin"]},
    "groups elsewhere": {"groups": None, "_claim_names": {"groups": "src1"}},
}


@pytest.mark.parametrize("name", NOBODY)
async def test_nobody_has_a_role_by_default(house: House, name: str) -> None:
    person = Person(house)
    house.source.claims = NOBODY[name]
    answer = await person.comes()
    assert answer.status == 403
    assert "none of your groups" in answer.text
    assert not person.signed_in
    (entry,) = actions.read(house.desk.state.journal)
    assert (entry.refused, entry.role, entry.actor.endswith("#u-1")) == (True, "", True)


async def test_claims_with_names_of_their_own_and_within_objects(house: House) -> None:
    for claim, claims in (
        ("realm_access.roles", {"groups": None, "realm_access": {"roles": ["box-operators"]}}),
        ("https://example.com/roles", {"groups": None, "https://example.com/roles": "box-operators"}),
    ):
        await house.configure(roles_claim=claim)
        house.source.claims = claims
        person = Person(house)
        assert (await person.comes()).status == 200, claim
        assert "(operator)" in (await person.get("/requests")).text


async def test_a_grant_that_is_taken_away_ends_the_session(house: House) -> None:
    house.groups("box-operators")
    person = Person(house)
    await person.comes()
    assert (await person.get("/requests")).status == 200
    await house.configure(grants=[GRANTS[0], {"value": "box-operators", "role": "auditor"}])
    assert "(auditor)" in (await person.get("/requests")).text
    await house.configure(grants=GRANTS[:1])
    assert (await person.get("/requests")).status == 303
    await house.configure()
    assert (await person.get("/requests")).status == 303, "it has ended, and does not come back"


async def test_signing_out_ends_it_here_and_says_where_it_goes_on(house: House) -> None:
    house.groups("box-admins")
    person = Person(house)
    await person.comes()
    held = dict(person.cookies)
    await person.get("/requests")
    answer = await person.post("/sign-out", {}, **SAME)
    assert answer.status == 200
    assert f"{house.source.url}/logout?client_id=console" in answer.text
    person.cookies = held
    assert (await person.get("/requests")).status == 303


async def test_a_session_that_was_planted_is_not_gone_on_with(house: House) -> None:
    house.groups("box-admins")
    person = Person(house)
    person.cookies["signalbox_session"] = "planted"
    await person.comes()
    assert person.cookies["signalbox_session"] != "planted"
    assert len(person.cookies["signalbox_session"]) >= 40


# --- the way back ---

Back = Callable[[dict[str, str]], dict[str, str] | str]
WRONG_WAY: dict[str, tuple[Back, str]] = {
    "no state": (lambda query: {**query, "state": ""}, "state"),
    "state left out": (lambda query: {"code": query["code"], "iss": query["iss"]}, "state"),
    "another state": (lambda query: {**query, "state": "x" * 43}, "state"),
    "no code": (lambda query: {"state": query["state"], "iss": query["iss"]}, "no code"),
    "another code": (lambda query: {**query, "code": "made-up"}, "does not take the code"),
    "a code without end": (lambda query: {**query, "code": "c" * 5000}, "no code"),
    "another issuer": (lambda query: {**query, "iss": "https://evil.example.com"}, "another provider"),
    "issuer left out": (lambda query: {"code": query["code"], "state": query["state"]}, "another provider"),
    "state twice": (lambda query: f"{urlencode(query)}&state={query['state']}", "twice"),
    "code twice": (lambda query: f"{urlencode(query)}&code=other", "twice"),
    "consent refused": (
        lambda query: {"error": "access_denied", "state": query["state"], "iss": query["iss"],
                       "error_description": "<script>canary()</script>"},
        "access_denied",
    ),
    "an error with markup": (
        lambda query: {"error": "<script>canary()</script>", "state": query["state"], "iss": query["iss"]},
        "scriptcanaryscript",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_WAY)
async def test_no_other_way_back_is_one(house: House, name: str) -> None:
    house.groups("box-admins")
    change, why = WRONG_WAY[name]
    person = Person(house)
    answer = await person.back(change(house.source.authorize(await person.sent())))
    assert answer.status == 403
    assert "<script>canary" not in answer.text
    assert not person.signed_in
    (refusal,) = house.refusals()
    assert refusal["by"] == "oidc"
    assert why in refusal["why"]


async def test_a_way_back_is_one_browsers_and_used_once(house: House) -> None:
    house.groups("box-admins")
    mine, theirs = Person(house), Person(house)
    query = house.source.authorize(await mine.sent())
    assert (await theirs.back(query)).status == 403, "without the cookie"
    await theirs.sent()
    assert (await theirs.back(query)).status == 403, "with another's"
    assert (await mine.back(query)).status == 200
    again = Person(house)
    again.carried = mine.carried
    assert (await again.back(query)).status == 403, "a second time"
    fresh = house.source.authorize(await again.sent())
    assert (await again.back({**fresh, "code": query["code"]})).status == 403, "a code that was used"
    assert not again.signed_in
    assert not theirs.signed_in
    for forged in ("", "x", "a" * 200, mine.carried[:-4] + "AAAA", base64.urlsafe_b64encode(bytes(80)).decode()):
        again.carried = forged
        assert (await again.back(query)).status in (403, 429), forged


async def test_a_sign_in_counts_once_whatever_the_provider_does(house: House) -> None:
    house.groups("box-admins")
    mine, again = Person(house), Person(house)
    query = house.source.authorize(await mine.sent())
    assert (await mine.back(query)).status == 200
    house.source.forget_used_codes()
    again.carried = mine.carried
    assert (await again.back(query)).status == 403
    assert "ended already" in house.refusals()[-1]["why"]
    assert not again.signed_in


async def test_a_sign_in_does_not_take_for_ever(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signalbox.control.oidc.FLOW_S", 0.05)
    house.groups("box-admins")
    person = Person(house)
    query = house.source.authorize(await person.sent())
    await asyncio.sleep(0.1)
    assert (await person.back(query)).status == 403
    assert "took too long" in house.refusals()[-1]["why"]
    assert not person.signed_in


async def test_people_of_another_provider_are_somebody_else(house: House) -> None:
    """The same subject with the same groups, but of whom nobody asks any more."""
    house.groups("box-admins")
    person = Person(house)
    await person.comes()
    assert (await person.get("/requests")).status == 200
    await house.configure(issuer="https://another.example")
    assert (await person.get("/requests")).status == 303


async def test_a_code_of_another_browser_is_worth_nothing(house: House) -> None:
    """A code that was caught is bound to the verifier of whom it was made for."""
    house.groups("box-admins")
    caught = house.source.authorize(await Person(house).sent())["code"]
    thief = Person(house)
    query = house.source.authorize(await thief.sent())
    assert (await thief.back({**query, "code": caught})).status == 403
    assert not thief.signed_in


async def test_where_somebody_goes_on_to_is_a_page_of_ours(house: House) -> None:
    house.groups("box-admins")
    elsewhere = ("//evil.example.com", "https://evil.example.com", "/\\evil", "javascript:canary()", "/a%0d%0ab")
    for to in elsewhere:
        answer = await Person(house).comes(to)
        assert 'content="0;url=/"' in answer.text, to


# --- ID tokens ---


def _said(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, claims, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, claims))  # type: ignore[return-value]


def hmac_of_public(source: Provider, token: str) -> str:
    pem = source.keys["k1"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    head, claims = _said(token)
    said = f"{b64(json.dumps({**head, 'alg': 'HS256'}).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{said}.{b64(hmac.new(pem, said.encode(), sha256).digest())}"


def resigned(source: Provider, token: str, **head: Any) -> str:
    """The same claims under another key, with the key's own head."""
    told, claims = _said(token)
    return signed(STRANGER, {**told, **head}, claims)


STRANGER = new_key()
NOW = int(time.time())
FORGED: dict[str, dict[str, Any]] = {
    "expired": {"claims": {"exp": NOW - 3600}},
    "no expiry": {"claims": {"exp": None}},
    "expiry is text": {"claims": {"exp": str(NOW + 300)}},
    "holds for ever": {"claims": {"exp": NOW + 10 * 86_400}},
    "not yet": {"claims": {"nbf": NOW + 3600}},
    "made in the future": {"claims": {"iat": NOW + 3600}},
    "made long ago": {"claims": {"iat": NOW - 7200}},
    "no time": {"claims": {"iat": None}},
    "wrong audience": {"claims": {"aud": "another"}},
    "no audience": {"claims": {"aud": None}},
    "several audiences and no party": {"claims": {"aud": ["console", "another"]}},
    "another party": {"claims": {"aud": ["console", "another"], "azp": "another"}},
    "another party of one": {"claims": {"azp": "another"}},
    "a party that is none": {"claims": {"azp": ["console"]}},
    "wrong issuer": {"claims": {"iss": "https://evil.example.com"}},
    "issuer with a slash": {"claims": {"iss": "+slash"}},
    "no issuer": {"claims": {"iss": None}},
    "no nonce": {"claims": {"nonce": None}},
    "another nonce": {"claims": {"nonce": "x" * 43}},
    "a nonce that is none": {"claims": {"nonce": 5}},
    "no subject": {"claims": {"sub": None}},
    "empty subject": {"claims": {"sub": ""}},
    "subject with a line break": {"claims": {"sub": "a\r\nb"}},
    "long subject": {"claims": {"sub": "a" * 300}},
    "subject is a number": {"claims": {"sub": 7}},
    "alg none": {"head": {"alg": "none"}},
    "alg none, unsigned": {"tampered": lambda _, token: token.rpartition(".")[0] + "."},
    "no alg": {"head": {"alg": None}},
    "another alg": {"head": {"alg": "RS256"}},
    "alg is a list": {"head": {"alg": ["ES256"]}},
    "symmetric with the public key": {"tampered": hmac_of_public},
    "unknown key": {"head": {"kid": "nobody"}},
    "kid is a path": {"head": {"kid": "../../k1"}},
    "kid is a list": {"head": {"kid": ["k1"]}},
    "another key under this name": {"tampered": resigned},
    "brings its own key": {"tampered": lambda source, token: resigned(source, token, jwk=jwk("k1", STRANGER))},
    "jku": {"head": {"jku": "https://evil.example.com/jwks"}},
    "x5u": {"head": {"x5u": "https://evil.example.com/x.pem"}},
    "x5c": {"head": {"x5c": ["AAAA"]}},
    "crit": {"head": {"crit": ["exp"]}},
    "an access token": {"head": {"typ": "at+jwt"}},
    "altered": {"tampered": lambda _, token: token[:60] + ("A" if token[60] != "A" else "B") + token[61:]},
    "padded": {"tampered": lambda _, token: token + "="},
    "a fourth part": {"tampered": lambda _, token: token + ".x"},
    "two parts": {"tampered": lambda _, token: token.rpartition(".")[0]},
    "empty": {"tampered": lambda _, token: ""},
    "not a token": {"tampered": lambda _, token: "hello"},
    "far too long": {"claims": {"more": "x" * 20_000}},
    "deep": {"tampered": lambda _, token: f"{b64(b'[' * 5000)}.{b64(b'[' * 5000)}.x"},
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
async def test_no_other_id_token_lets_anybody_in(house: House, name: str) -> None:
    house.groups("box-admins")
    source, forged = house.source, FORGED[name]
    claims = dict(forged.get("claims", {}))
    if claims.get("iss") == "+slash":
        claims["iss"] = f"{source.url}/"
    source.claims |= claims
    source.head = forged.get("head", {})
    if "tampered" in forged:
        source.tampered = lambda token: forged["tampered"](source, token)
    person = Person(house)
    answer = await person.comes()
    assert answer.status == 403, answer.text
    assert "Start again" in answer.text
    assert not person.signed_in
    (refusal,) = house.refusals()
    assert refusal["why"].startswith("ID token: "), refusal
    source.claims, source.head, source.tampered = {"groups": ["box-admins"]}, {}, str
    assert (await Person(house).comes()).status == 200, "a good one is taken after it"


async def test_a_token_too_long_to_be_read_is_none(house: House) -> None:
    house.groups("box-admins")
    house.source.claims["more"] = "x" * 100_000
    person = Person(house)
    assert (await person.comes()).status == 503
    assert not person.signed_in


async def test_a_new_key_of_the_provider_is_fetched_once(house: House) -> None:
    house.groups("box-admins")
    assert (await Person(house).comes()).status == 200
    house.source.keys, house.source.signing = {"k2": new_key()}, "k2"
    assert (await Person(house).comes()).status == 403, "the set was fetched a moment ago"
    fetches = house.source.requests.count("/jwks")
    for number in range(5):
        house.source.head = {"kid": f"made-up-{number}"}
        assert (await Person(house).comes()).status == 403
    assert house.source.requests.count("/jwks") == fetches == 1


# --- a provider that cannot be asked ---

DOWN: dict[str, dict[str, Any]] = {
    "no discovery": {"down": True},
    "another issuer's document": {"metadata": {"issuer": "https://evil.example.com"}},
    "no token endpoint": {"metadata": {"token_endpoint": None}},
    "no TLS": {"metadata": {"token_endpoint": "http://127.0.0.1/token"}},
    "a script": {"metadata": {"authorization_endpoint": "javascript:canary()"}},
    "a credential": {"metadata": {"jwks_uri": "https://a:b@127.0.0.1/jwks"}},
}


@pytest.mark.parametrize("name", DOWN)
async def test_a_provider_that_is_none_has_a_page_that_says_so(house: House, name: str) -> None:
    for field, value in DOWN[name].items():
        setattr(house.source, field, value)
    person = Person(house)
    answer = await person.get("/sign-in/provider")
    assert answer.status == 503
    assert "cannot be asked just now" in answer.text
    assert "canary" not in answer.text
    asked = len(house.source.requests)
    assert (await person.get("/sign-in/provider")).status == 503
    assert len(house.source.requests) == asked, "not asked again at once"


async def test_a_provider_that_goes_away_under_way(house: House) -> None:
    house.groups("box-admins")
    person = Person(house)
    query = house.source.authorize(await person.sent())
    house.source.down = True
    assert (await person.back(query)).status == 503
    house.source.down = False
    assert (await person.comes()).status == 200


async def test_a_key_set_that_is_none_lets_nobody_in(house: House) -> None:
    house.groups("box-admins")
    house.source.key_set = b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}'
    person = Person(house)
    assert (await person.comes()).status == 503
    assert not person.signed_in


async def test_a_wrong_client_is_the_operators_matter(house: House) -> None:
    await house.configure(client_secret="another")
    house.groups("box-admins")
    answer = await Person(house).comes()
    assert answer.status == 503
    assert "invalid_client" in answer.text


async def test_an_authority_that_is_not_trusted_is_no_provider(house: House) -> None:
    await house.configure(ca_file=None)
    answer = await Person(house).get("/sign-in/provider")
    assert answer.status == 503
    assert "certificate" in answer.text


async def test_without_a_provider_there_is_no_way_through_one(tmp_path: Path) -> None:
    desk = await Desk(tmp_path / "state").loaded()
    browser = Browser(desk)
    for path in ("/sign-in/provider", "/sign-in/callback?code=x&state=y"):
        assert (await browser.get(path)).status == 404
    assert "Sign in with" not in (await browser.get("/sign-in")).text
    desk.close()


async def test_whoever_fails_too_often_waits(house: House) -> None:
    house.groups("staff")
    statuses = [(await Person(house).comes()).status for _ in range(12)]
    assert statuses == [403] * 10 + [429] * 2
    assert len(house.refusals()) == 10


@pytest.mark.parametrize(("setting", "pages", "api"), [("on", 303, 200), ("api", 401, 200), ("off", 401, 401)])
async def test_the_admin_secret_can_be_switched_off(house: House, setting: str, pages: int, api: int) -> None:
    before = await house.desk.browser(SECRET)
    await house.configure(break_glass=setting)
    browser = Browser(house.desk)
    assert (await browser.sign_in(SECRET)).status == pages
    assert (await house.desk.ask("GET", "/api/status", f"Bearer {SECRET}"))[0] == api
    assert ((await before.get("/requests")).status == 200) == (setting == "on")
    _, key = house.desk.key(role="operator")
    assert (await Browser(house.desk).sign_in(key)).status == 303
    if setting != "on":
        assert house.refusals()[0]["by"] == "secret"
        assert SECRET not in json.dumps(house.refusals())


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "no TLS": ("issuer", {"issuer": "http://idp.example.com"}),
    "a query": ("issuer", {"issuer": "https://idp.example.com/?a=b"}),
    "no console": ("console_url", {"console_url": "console.example.com"}),
    "console without TLS": ("console_url", {"console_url": "http://console.example.com"}),
    "console with a path": ("console_url", {"console_url": "https://console.example.com/box"}),
    "no openid": ("scopes", {"scopes": ["profile"]}),
    "nobody": ("grants", {"grants": []}),
    "a group twice": ("grants", {"grants": [GRANTS[0], GRANTS[0]]}),
    "no such role": ("role", {"grants": [{"value": "x", "role": "root"}]}),
    "no such signature": ("algorithms", {"algorithms": ["HS256"]}),
    "none": ("algorithms", {"algorithms": ["none"]}),
    "no signature": ("algorithms", {"algorithms": []}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_nobody_can_sign_in_with_is_no_configuration(name: str) -> None:
    place, change = WRONG[name]
    oidc = {
        "issuer": "https://idp.example.com", "client_id": "c", "console_url": "https://c.example.com",
        "grants": GRANTS, **change,
    }  # fmt: skip
    with pytest.raises(ConfigError, match=place):
        load_text(json.dumps({**PLACES, "sign_in": {"oidc": oidc}}), "f")
