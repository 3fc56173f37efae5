"""An identity provider that ends sessions (back-channel logout): whose end, and every token that ends nobody's."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import yaml

from console_desk import Answer, Browser, Desk
from identity_provider import Provider, b64, new_key, provider
from signalbox.ledger import actions

EVENT = "http://schemas.openid.net/event/backchannel-logout"
PLACES: dict[str, Any] = {
    "environments": {"e": {"kind": "on-prem"}},
    "deployments": {
        "d": {"environment": "e", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m",
              "price": "free"}
    },
}  # fmt: skip


class House:
    """A console whose people come from a provider, which may end their sessions."""

    def __init__(self, desk: Desk, source: Provider) -> None:
        self.desk = desk
        self.source = source
        self.tokens = 0

    async def signed_in(self, subject: str = "u-1", sid: str | None = None) -> Browser:
        """Somebody who has just come from the provider."""
        self.source.claims = {"sub": subject, "groups": ["box-admins"], "sid": sid}
        person = Browser(self.desk)
        there = await person.get("/sign-in/provider")
        carried = there.cookie("signalbox_flow")
        query = urlencode(self.source.authorize(there.headers["location"]))
        answer = await person.get(f"/sign-in/callback?{query}", cookie=f"signalbox_flow={carried}")
        assert answer.status == 200, answer.text
        return person

    def token(self, **claims: Any) -> str:
        self.tokens += 1
        said = {"aud": self.source.client_id, "jti": f"t{self.tokens}", "events": {EVENT: {}}, "sub": "u-1"}
        return self.source.token(**{**said, **claims})

    async def tell(self, token: str, kind: str = "application/x-www-form-urlencoded", **fields: str) -> Answer:
        body = urlencode({"logout_token": token, **fields}).encode()
        return await self.desk.send("POST", "/sign-in/logout", {"content-type": kind}, body)

    def refusals(self) -> list[str]:
        return [one.detail["why"] for one in actions.read(self.desk.state.journal) if one.refused]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with provider(tmp_path / "idp") as source:
        made = House(Desk(tmp_path / "state"), source)
        grants = [{"value": "box-admins", "role": "admin", "tenant": "*"}]
        oidc = {
            "issuer": source.url, "client_id": source.client_id, "client_secret": source.client_secret,
            "console_url": "https://console.test", "grants": grants, "ca_file": source.ca_file,
        }  # fmt: skip
        made.desk.file.write_text(yaml.safe_dump({**PLACES, "sign_in": {"oidc": oidc}}))
        assert await made.desk.supervisor.reload() == ""
        yield made
        made.desk.close()


async def inside(person: Browser) -> bool:
    return (await person.get("/requests")).status == 200


async def test_a_subject_is_signed_out_everywhere_and_nobody_else(house: House) -> None:
    first, second, other = await house.signed_in(), await house.signed_in(), await house.signed_in("u-2")
    answer = await house.tell(house.token())
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    assert not await inside(first)
    assert not await inside(second)
    assert await inside(other)
    entry = [one for one in actions.read(house.desk.state.journal) if one.action == "console.sign-out"][-1]
    assert entry.detail == {"by": "back-channel", "sessions": "2"}
    assert entry.actor == f"{house.source.url.removeprefix('https://')}#u-1"
    assert await inside(await house.signed_in()), "who comes anew from the provider is let in"


async def test_one_session_of_several_is_ended_by_its_name(house: House) -> None:
    here, there, other = [await house.signed_in("u-1", sid) for sid in ("s-1", "s-2", "s-3")]
    assert (await house.tell(house.token(sid="s-1"))).status == 200
    assert [await inside(one) for one in (here, there, other)] == [False, True, True]
    assert (await house.tell(house.token(sub=None, sid="s-2"))).status == 200
    assert [await inside(one) for one in (there, other)] == [False, True]
    assert (await house.tell(house.token(sub="u-2", sid="s-3"))).status == 200, "another's, and so nobody's"
    assert await inside(other)


@pytest.mark.parametrize("head", [{}, {"typ": "logout+jwt"}, {"typ": "JWT"}, {"typ": None}])
async def test_the_types_that_providers_write(house: House, head: dict[str, Any]) -> None:
    person = await house.signed_in()
    house.source.head = head
    assert (await house.tell(house.token())).status == 200
    assert not await inside(person)


WRONG: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example.com"},
    "no issuer": {"iss": None},
    "another audience": {"aud": "somebody"},
    "no audience": {"aud": None},
    "no events": {"events": None},
    "events of another kind": {"events": {"http://schemas.openid.net/event/other": {}}},
    "events that are a list": {"events": [EVENT]},
    "an event that is text": {"events": {EVENT: "yes"}},
    "a nonce": {"nonce": "n"},
    "an empty nonce": {"nonce": ""},
    "neither subject nor session": {"sub": None},
    "a subject that is a number": {"sub": 1},
    "an empty subject": {"sub": ""},
    "a session that is a list": {"sid": ["s-1"]},
    "no name": {"jti": None},
    "a name that is a number": {"jti": 7},
    "expired": {"exp": 1},
    "no expiry": {"exp": None},
    "for too long": {"exp": 2**40},
    "from the future": {"iat": 2**33},
    "made long ago": {"iat": int(time.time()) - 4000},
    "no time": {"iat": None},
    "a time that is text": {"iat": "now"},
}


@pytest.mark.parametrize("name", WRONG)
async def test_no_other_claims_end_anything(house: House, name: str) -> None:
    person = await house.signed_in()
    answer = await house.tell(house.token(**WRONG[name]))
    assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"
    assert await inside(person)
    (why,) = house.refusals()
    assert why.startswith("logout token: ")


async def test_no_other_signature_ends_anything(house: House) -> None:
    person = await house.signed_in()
    good = house.token()
    head, claims, signature = good.split(".")
    none = b64(b'{"alg":"none"}')
    symmetric = b64(b'{"alg":"HS256","kid":"k1"}')
    bad = ["", "x", "a.b.c", good + "x", f"{none}.{claims}.", f"{none}.{claims}.{signature}", f"{head}.{claims}."]
    bad += [f"{symmetric}.{claims}.{signature}", f"{head}.{b64(b'{}')}.{signature}", good * 100]
    house.source.signer = new_key()
    bad.append(house.token())
    house.source.signer = None
    for head_more in ({"typ": "at+jwt"}, {"jku": "https://evil.example.com"}, {"crit": ["x"]}, {"kid": "../k1"}):
        house.source.head = head_more
        bad.append(house.token())
    house.source.head = {}
    for token in bad:
        assert (await house.tell(token)).status == 400, token[:80]
    assert await inside(person)
    assert (await house.tell(good)).status == 200
    assert not await inside(person)


async def test_an_id_token_is_none_and_a_token_counts_once(house: House) -> None:
    person = await house.signed_in()
    assert (await house.tell(house.token(events=None, nonce="n"))).status == 400
    token = house.token()
    assert (await house.tell(token)).status == 200
    assert not await inside(person)
    back = await house.signed_in()
    assert (await house.tell(token)).status == 400, "replayed"
    assert await inside(back)
    # And the other way round: with a logout token nobody comes in.
    there = await (browser := Browser(house.desk)).get("/sign-in/provider")
    nonce = dict(parse_qsl(urlsplit(there.headers["location"]).query))["nonce"]
    house.source.head = {"typ": "logout+jwt"}
    house.source.claims = {"groups": ["box-admins"], "nonce": nonce, "events": {EVENT: {}}}
    query = urlencode(house.source.authorize(there.headers["location"]))
    carried = there.cookie("signalbox_flow")
    assert (await browser.get(f"/sign-in/callback?{query}", cookie=f"signalbox_flow={carried}")).status == 403


async def test_what_is_no_form_or_comes_while_keys_are_out_of_reach(house: House) -> None:
    person = await house.signed_in()
    token = house.token()
    assert (await house.tell(token, "application/json")).status == 400
    assert (await house.desk.send("GET", "/sign-in/logout")).status == 405
    house.source.signing, house.source.keys = "k2", {"k2": new_key()}
    house.source.down = True
    assert (await house.tell(house.token())).status in (400, 503)
    assert await inside(person)
    house.desk.file.write_text(yaml.safe_dump(PLACES))
    assert await house.desk.supervisor.reload() == ""
    assert (await house.tell(token)).status == 404
