"""Keys that issuers publish: fetched beside the calls, rotated without a restart, kept while their provider is down."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import Answer, Box, running
from identity_provider import Provider, new_key, provider
from signalbox.config.load import load_text
from signalbox.control.checked import Checked
from signalbox.control.key_sets import KeySets
from signalbox.control.published_keys import FETCH_EVERY_S_MIN, PublishedKeys
from signalbox.core.errors import ConfigError
from signalbox.core.issuers import Address, KeySet
from signalbox.core.link import ApplyKeySets
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}


class Clock:
    def __init__(self) -> None:
        self.s = time.time()

    def __call__(self) -> float:
        return self.s


class Sup:
    """What key sets need of a supervisor: the configuration in force, and workers to tell."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.generation = 1
        self.also_counts: list[Any] = []
        self.told = 0
        self._sets: list[KeySet] = []

    @property
    def keys(self) -> Sup:
        """Who delivers them."""
        return self

    @property
    def checked(self) -> Checked:
        gateway = self.box.worker.gateway
        assert gateway is not None
        return Checked("v", 0.0, issuers=gateway.stages.snapshot.issuers)

    async def give_key_sets(self, sets: list[KeySet]) -> None:
        if sets != self._sets:
            self.told += 1
            self._sets = sets
            await self.box.worker.obey(ApplyKeySets(sets))


class Watched:
    """A gateway whose issuer publishes its keys, and what fetches them, at times that the test chooses."""

    def __init__(self, box: Box, source: Provider, kept: Path) -> None:
        self.box = box
        self.source = source
        self.clock = Clock()
        self.supervisor = Sup(box)
        self.kept = kept
        self.sets = self.again()
        box.plane._want_keys = self.sets.want
        box.worker._known.want = self.sets.want

    def again(self) -> KeySets:
        return KeySets(self.supervisor, self.kept, Log("test"), self.clock)  # pyright: ignore[reportArgumentType]

    async def ask(self, **claims: Any) -> Answer:
        return await self.with_token(self.source.token(sub="job", aud="signalbox", **claims))

    async def with_token(self, token: str) -> Answer:
        return await self.box.request("/v1/chat/completions", BODY, key=token)

    async def later(self, seconds: float = FETCH_EVERY_S_MIN) -> None:
        self.clock.s += seconds
        await self.sets.tick()

    @property
    def fetches(self) -> int:
        return self.source.requests.count("/jwks")


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    async with provider(tmp_path / "idp") as source:
        entry = {
            "issuer": source.url, "audience": "signalbox", "jwks_url": f"{source.url}/jwks", "tenant": "acme",
            "ca_file": source.ca_file, "jwks_age_max_s": 3600,
        }  # fmt: skip
        async with running(tmp_path / "box", {"issuers": {"corp": entry}}) as box:
            made = Watched(box, source, tmp_path / "key-sets.json")
            await made.sets.tick()
            yield made


async def test_a_published_key_is_taken_and_no_call_ever_fetches(watched: Watched) -> None:
    assert (await watched.ask()).status == 200
    assert watched.box.rows()[0]["key_id"] == "corp:job"
    for _ in range(20):
        await watched.ask()
    assert watched.fetches == 1


async def test_a_new_key_works_without_a_restart_and_an_old_one_ends(watched: Watched) -> None:
    old = watched.source.token(sub="job", aud="signalbox")
    watched.source.keys["k2"], watched.source.signing = new_key("EdDSA"), "k2"
    assert (await watched.ask()).status == 401
    await watched.later()
    assert (await watched.ask()).status == 200
    assert (await watched.with_token(old)).status == 200
    del watched.source.keys["k1"]
    await watched.later(300)
    assert (await watched.with_token(old)).status == 401, "remembered or not"
    assert (await watched.ask()).status == 200


async def test_unknown_keys_make_no_storm(watched: Watched) -> None:
    stranger = new_key()
    for number in range(50):
        watched.source.signer, watched.source.head = stranger, {"kid": f"made-up-{number}"}
        assert (await watched.ask()).status == 401
        await watched.sets.tick()
    assert watched.fetches == 1, "the last fetch was a moment ago"
    await watched.later()
    assert watched.fetches == 2
    for _ in range(50):
        assert (await watched.ask()).status == 401
        await watched.sets.tick()
    assert watched.fetches == 2


async def test_the_last_good_keys_hold_while_the_provider_is_down_and_not_for_ever(watched: Watched) -> None:
    watched.source.down = True
    await watched.later(301)
    metrics = Metrics()
    watched.sets.count(metrics)
    rows = metrics.by_name()
    assert rows["signalbox_key_set_failing"] == [(("corp",), [1])]
    assert (await watched.ask()).status == 200
    await watched.later(3301)
    assert (await watched.ask()).status == 401, "an hour is over"
    watched.source.down = False
    await watched.later()
    assert (await watched.ask()).status == 200


async def test_a_start_does_not_depend_on_the_provider(watched: Watched) -> None:
    watched.source.down = True
    watched.supervisor = Sup(watched.box)
    await watched.box.worker.obey(ApplyKeySets([]))
    assert (await watched.ask()).status == 401
    watched.sets = watched.again()
    await watched.sets.begin(watched.supervisor.checked.issuers)
    assert (await watched.ask()).status == 200
    watched.kept.write_text('{"corp": {"keys_at": "')
    await watched.again().begin(watched.supervisor.checked.issuers)


async def test_the_address_that_holds_is_the_configurations(watched: Watched) -> None:
    """Keys that came from elsewhere are not those of an issuer whose address was changed since."""
    entry = dict(watched.box.config["issuers"]["corp"], jwks_url=f"{watched.source.url}/other")
    assert not await watched.box.configure({**watched.box.config, "issuers": {"corp": entry}})
    assert (await watched.ask()).status == 401
    watched.supervisor.generation += 1
    await watched.sets.tick()
    assert (await watched.ask()).status == 401, "there is nothing there"


GOOD_BESIDE: list[Any] = [
    {"kty": "EC", "crv": "P-384", "kid": "x", "x": "AA", "y": "AA"},
    {"kty": "RSA", "kid": "y", "alg": "PS512", "n": "AQAB", "e": "AQAB"},
    {"kty": "RSA", "kid": "z", "use": "enc", "n": "AQAB", "e": "AQAB"},
    {"kty": "something new", "kid": "w"},
]


async def test_kinds_of_keys_that_are_not_taken_may_stand_beside(watched: Watched) -> None:
    watched.source.extra_keys = GOOD_BESIDE
    await watched.later(301)
    assert watched.fetches == 2
    assert (await watched.ask()).status == 200


BAD_SETS: dict[str, bytes] = {
    "no JSON": b"<html>",
    "no set": b"[]",
    "no key": b'{"keys": []}',
    "a secret": b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}',
    "endless": b'{"keys": [' + b" " * 600_000 + b"]}",
    "deep": b"[" * 100_000,
    "not UTF-8": b'{"keys": ["\xff"]}',
}


@pytest.mark.parametrize("name", BAD_SETS)
async def test_what_is_no_key_set_changes_nothing(watched: Watched, name: str) -> None:
    watched.source.key_set = BAD_SETS[name]
    await watched.later(301)
    assert (await watched.ask()).status == 200
    metrics = Metrics()
    watched.sets.count(metrics)
    assert metrics.by_name()["signalbox_key_set_failing"] == [(("corp",), [1])]


async def test_only_the_right_authority_is_believed(tmp_path: Path) -> None:
    async with provider(tmp_path / "idp") as source, provider(tmp_path / "other") as other:
        for ca_file in (None, other.ca_file, str(tmp_path / "nothing")):
            keys = PublishedKeys(Address(f"{source.url}/jwks", None, ca_file), Clock())
            assert not await keys.refresh()
            assert keys.problem
            assert keys.keys == ()
        assert source.requests == []
        keys = PublishedKeys(Address(f"{source.url}/jwks", False, source.ca_file), Clock())
        assert not await keys.refresh(), "private addresses are refused where the configuration says so"
        assert "private" in keys.problem


async def test_who_asks_at_the_same_time_waits_for_one_fetch(tmp_path: Path) -> None:
    async with provider(tmp_path / "idp") as source:
        keys = PublishedKeys(Address(f"{source.url}/jwks", None, source.ca_file), Clock())
        assert all(await asyncio.gather(*(keys.refresh() for _ in range(20))))
        assert source.requests == ["/jwks"]


PLACE = {"environment": "e", "protocol": "openai", "base_url": "https://llm.example.com/v1", "model": "m"}
WRONG: dict[str, dict[str, Any]] = {
    "neither": {},
    "both": {"jwks": '{"keys": []}', "jwks_url": "https://a.example.com/jwks"},
    "no TLS": {"jwks_url": "http://a.example.com/jwks"},
    "another scheme": {"jwks_url": "file:///etc/passwd"},
    "a credential": {"jwks_url": "https://u:p@a.example.com/jwks"},
    "metadata": {"jwks_url": "http://169.254.169.254/latest"},
    "no address": {"jwks_url": "jwks"},
}


@pytest.mark.parametrize("name", WRONG)
def test_where_no_keys_can_come_from_is_no_configuration(name: str) -> None:
    issuers = {"corp": {"issuer": "https://a.example.com", "audience": "x", **WRONG[name]}}
    config = {"environments": {"e": {"kind": "on-prem"}}, "deployments": {"d": {**PLACE, "price": "free"}}}
    with pytest.raises(ConfigError, match=r"issuers\.corp"):
        load_text(json.dumps({**config, "issuers": issuers}), "f")
