"""One contract for every place where kept answers lie: the file of a machine, and the server that machines share."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import uvloop

from signalbox.cache import shared, shared_admin
from signalbox.cache.entry import BODY, ENTRY_BYTES_MAX, Entry
from signalbox.cache.exact import KeptAnswers
from signalbox.cache.resp import decode
from signalbox.cache.scope import Name
from signalbox.cache.shelf import EVERYTHING, invalidate
from signalbox.core.caching import SharedCache
from valkey import Server, serving

SECRET = b"s" * 32
TAGS = ("workload:support", "tag:corpus-7")
# Longer than any look-up may take here: these tests are about what is given, not about how fast.
PATIENT_S = 5.0


class Clock:
    now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


class House:
    """Two processes of one installation over the same shelf; with a server they are on two machines."""

    def __init__(self, folder: Path, server: Server | None, **settings: int) -> None:
        self.clock = Clock()
        self._server = server
        self._folder = folder
        self._settings = settings
        self.made: list[KeptAnswers] = []
        self.told: list[tuple[str, str]] = []

    def tell(self, what: str, why: str) -> None:
        self.told.append((what, why))

    @property
    def at(self) -> SharedCache:
        assert self._server is not None
        return SharedCache(path=self._server.path, timeout_s=PATIENT_S, **self._settings)

    async def process(self, secret: bytes = SECRET) -> KeptAnswers:
        folder = self._folder / str(len(self.made)) if self._server is not None else self._folder
        folder.mkdir(exist_ok=True)
        kept = KeptAnswers(folder / "cache.db", secret, self.clock, self.tell)
        kept.resize(64 << 20, self._settings.get("bytes_max", 64 << 20))
        if self._server is not None:
            kept.share(self.at)
        self.made.append(kept)
        await until(lambda: heard(kept))
        return kept

    async def end(self, *tags: str) -> None:
        if self._server is not None:
            await shared_admin.invalidate(self.at, SECRET, tags)
        else:
            await asyncio.to_thread(invalidate, self._folder / "cache.db", SECRET, tags, self.clock())


async def heard(kept: KeptAnswers) -> bool:
    return await kept.heard() >= 0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(500):
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to be")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("valkey")) as made:
        yield made


@pytest.fixture(params=["file", "server"])
async def house(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[House]:
    made = request.getfixturevalue("server") if request.param == "server" else None
    if made is not None:
        made.ask("FLUSHALL")
    house = House(tmp_path, made)
    yield house
    for kept in house.made:
        await kept.stop()
        kept.close()


def name(number: int = 1) -> Name:
    return Name(number.to_bytes(32, "big"), (number + 1).to_bytes(32, "big"))


def entry(house: House, text: bytes = b"blue", tags: tuple[str, ...] = TAGS, for_ms: int = 60_000) -> Entry:
    now_ms = house.clock()
    return Entry(BODY, text, "mini", "call-1", 12, now_ms, now_ms + for_ms, tags)


async def gives(kept: KeptAnswers, what: Name) -> bool:
    return await kept.look_up(what) is not None


async def test_what_one_process_keeps_another_one_gives(house: House) -> None:
    one, two = await house.process(), await house.process()
    kept = entry(house)
    one.keep(name(), kept, one.mark())
    assert await one.look_up(name()) == kept
    await until(lambda: gives(two, name()))
    assert await two.look_up(name()) == kept
    assert await two.look_up(name(2)) is None


async def test_an_entry_ends_with_its_time(house: House) -> None:
    one, two = await house.process(), await house.process()
    one.keep(name(), entry(house, for_ms=30_000), one.mark())
    await until(lambda: gives(two, name()))
    house.clock.now_ms += 30_000
    assert await one.look_up(name()) is None
    assert await two.look_up(name()) is None


@pytest.mark.parametrize("ended", ["tag:corpus-7", "workload:support", EVERYTHING])
async def test_what_was_invalidated_is_given_by_nobody_once_that_returns(house: House, ended: str) -> None:
    one, two = await house.process(), await house.process()
    one.keep(name(), entry(house), one.mark())
    one.keep(name(2), entry(house, tags=("workload:other",)), one.mark())
    await until(lambda: gives(two, name()))
    await until(lambda: gives(two, name(2)))
    await house.end(ended)
    three = await house.process()
    for kept in (one, two, three):
        assert await kept.look_up(name()) is None
        assert await gives(kept, name(2)) is (ended != EVERYTHING)


async def test_an_answer_that_was_asked_for_before_is_not_kept(house: House) -> None:
    one, two = await house.process(), await house.process()
    before, kept = one.mark(), entry(house)
    await house.end("tag:corpus-7")
    # Whoever has not heard of it keeps it for now; the shelf does not, and by the next look-up it has heard.
    one.keep(name(), kept, before)
    await asyncio.sleep(0.3)
    assert await two.look_up(name()) is None
    assert await one.look_up(name(3)) is None
    assert not one.current(kept.tags, before)
    assert one.current(("workload:other",), before)
    assert one.current(kept.tags, await one.heard())
    one.keep(name(), kept, await one.heard())
    await until(lambda: gives(two, name()))


async def test_space_is_bounded_and_the_newest_stay(tmp_path: Path, server: Server) -> None:
    server.ask("FLUSHALL")
    house = House(tmp_path, server, bytes_max=100_000)
    one, two = await house.process(), await house.process()
    for number in range(40):
        one.keep(name(number), entry(house, b"x" * 10_000, for_ms=60_000 + number), one.mark())
    await until(lambda: gives(two, name(39)))
    assert await two.look_up(name(0)) is None
    held = await shared_admin.held(house.at, SECRET)
    assert 5 <= held.entries <= 10
    assert held.bytes <= 100_000
    for kept in house.made:
        await kept.stop()
        kept.close()


async def test_long_answers_pass_and_endless_ones_stay_behind(house: House) -> None:
    one, two = await house.process(), await house.process()
    one.keep(name(1), entry(house, b"y" * 900_000), one.mark())
    one.keep(name(2), entry(house, b"y" * (ENTRY_BYTES_MAX + 1)), one.mark())
    await until(lambda: gives(two, name(1)))
    assert await two.look_up(name(2)) is None


async def test_many_look_ups_at_once_get_their_own_answers(house: House) -> None:
    one, two = await house.process(), await house.process()
    for number in range(60):
        one.keep(name(number), entry(house, b"%d" % number), one.mark())
    await until(lambda: gives(two, name(59)))
    found = await asyncio.gather(*(two.look_up(name(number)) for number in range(80)))
    assert [each.content if each else None for each in found] == [*(b"%d" % each for each in range(60)), *[None] * 20]


# --- what only a server can do to us ---


async def test_the_server_learns_neither_questions_nor_answers_nor_tags(tmp_path: Path, server: Server) -> None:
    server.ask("FLUSHALL")
    house = House(tmp_path, server)
    one = await house.process()
    one.keep(name(), entry(house, b"very secret answer"), one.mark())
    await house.end("tenant:acme")
    await one.stop()
    one.close()
    for key in server.ask("KEYS", "*").decode("latin-1").split("\r\n"):
        if key.startswith("signalbox:"):
            told = server.ask("GET", key) + server.ask("ZRANGE", key, "0", "-1")
            assert b"secret answer" not in told
            assert b"acme" not in told
            assert b"mini" not in told


async def test_installations_on_one_server_do_not_meet(tmp_path: Path, server: Server) -> None:
    server.ask("FLUSHALL")
    house = House(tmp_path, server)
    one, other = await house.process(), await house.process(b"o" * 32)
    one.keep(name(), entry(house), one.mark())
    three = await house.process()
    await until(lambda: gives(three, name()))
    assert await other.look_up(name()) is None
    for kept in house.made:
        await kept.stop()
        kept.close()


async def test_nothing_comes_back_when_the_server_forgets_its_log_or_starts_anew(tmp_path: Path) -> None:
    with serving(tmp_path) as own:
        house = House(tmp_path, own)
        one, two = await house.process(), await house.process()
        one.keep(name(), entry(house), one.mark())
        await until(lambda: gives(two, name()))
        keys = own.ask("KEYS", "*:log").decode().split("\r\n")
        own.ask("DEL", next(key for key in keys if key.startswith("signalbox")))
        await asyncio.sleep(shared.FRESH_S)
        assert await two.look_up(name()) is None
        await until(lambda: heard(two))
        assert await two.look_up(name()) is None
        # It works again, and what was kept before stays away.
        two.keep(name(2), entry(house), two.mark())
        await until(lambda: heard(one))
        await until(lambda: gives(one, name(2)))
        assert await one.look_up(name()) is None
        own.ask("SAVE")
        own.kill()
        await asyncio.sleep(shared.FRESH_S)
        assert await one.look_up(name(2)) is None
        own.start()
        await until(lambda: heard(one))
        assert await one.look_up(name(2)) is None
        for kept in house.made:
            await kept.stop()
            kept.close()


def test_it_runs_on_the_loop_of_the_gateway(tmp_path: Path, server: Server) -> None:
    async def there_and_back() -> None:
        house = House(tmp_path, server)
        one, two = await house.process(), await house.process()
        one.keep(name(7), entry(house), one.mark())
        await until(lambda: gives(two, name(7)))
        for kept in house.made:
            await kept.stop()
            kept.close()

    uvloop.run(there_and_back())


async def test_a_server_that_stops_answering_costs_a_small_wait_and_then_none(tmp_path: Path) -> None:
    with serving(tmp_path) as own:
        house = House(tmp_path, own)
        one = await house.process()
        one.keep(name(), entry(house), one.mark())
        assert one.shared is not None
        one.shared.at = SharedCache(path=own.path, timeout_s=0.05)
        own.pause()
        await asyncio.sleep(shared.FRESH_S)
        waited = [await timed(one) for _ in range(20)]
        assert sum(waited) < 5.0, waited  # three waits of 50 ms, then it is left alone
        assert one.shared.failures == 1
        assert one.shared.trouble
        assert await one.heard() == -1
        asked = "the shared cache cannot be asked"
        assert house.told == [(asked, "the shared cache did not answer in time")]
        own.go_on()
        await until(lambda: heard(one))
        assert house.told[-1] == (asked, "")
        own.kill()
        await asyncio.sleep(shared.FRESH_S)
        assert await one.look_up(name()) is None
        assert await one.look_up(name()) is None
        await one.stop()
        one.close()


async def test_a_full_server_is_told_once_and_left_alone_with_more_answers(tmp_path: Path) -> None:
    with serving(tmp_path, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as own:
        house = House(tmp_path, own)
        one = await house.process()
        for number in range(100):
            one.keep(name(number), entry(house, os.urandom(1 << 16)), one.mark())
            await asyncio.sleep(0.002)
        await until(lambda: given(house.told))
        ((what, why),) = house.told
        assert what == "the shared cache does not keep answers"
        assert "OOM" in why
        assert await one.heard() >= 0, "what is kept is given, and what is invalidated is heard of"
        await one.stop()
        one.close()


async def given(told: list[tuple[str, str]]) -> bool:
    return bool(told)


def test_a_server_that_repeats_what_it_was_sent_is_not_quoted() -> None:
    refused, _ = decode(b"-ERR unknown command 'AUTH', with args beginning with: 'hush'\r\n")
    assert str(refused) == "the shared cache refused: ERR unknown command 'AUTH'"


async def timed(kept: KeptAnswers) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await kept.look_up(name()) is None
    return loop.time() - began
