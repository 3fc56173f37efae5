"""Many workers behind one socket: they answer as one, change as one, and lose nothing when one of them dies."""

import asyncio
import os
import re
import signal
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from installation import ADMIN, PATHS, Served, alive, body_of, children, until

FAST = body_of("chat", "w-chat", "Hello [[tokens:4]]")
SLOW = "Talk on [[tokens:150]][[delay_ms:30]]"  # 4.5 s
FIRST = {"chat": b'"content":"', "messages": b"text_delta", "responses": b"output_text.delta"}
COMPLETE = {"chat": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed"}
PROCESS_OF = re.compile(rb"x-request-id: req_([0-9a-f]{16})")


async def statuses(served: Served, body: dict[str, Any], key: str | None = None, count: int = 16) -> Counter[int]:
    """The answers to many calls at once, so that every worker gets some."""
    answers = await asyncio.gather(*(served.request(PATHS["chat"], body, key=key) for _ in range(count)))
    return Counter(answer.status for answer in answers)


async def open_streams(served: Served, count: int) -> list[tuple[str, Any]]:
    """So many slow streams over the three endpoints, each past its first token."""
    apis = [list(PATHS)[index % 3] for index in range(count)]
    streams = await asyncio.gather(
        *(served.stream(PATHS[api], body_of(api, f"w-{api}", SLOW, stream=True)) for api in apis)
    )
    await asyncio.gather(*(stream.until(FIRST[api]) for api, stream in zip(apis, streams, strict=True)))
    return list(zip(apis, streams, strict=True))


def process_of(data: bytes) -> bytes:
    """Which worker answered: its part of the request id."""
    found = PROCESS_OF.search(data)
    assert found is not None
    return found[1]


def assert_booked(served: Served, rows: list[dict[str, Any]]) -> None:
    """One row an attempt, and never below the bill; exactly it where the end is known."""
    bill = served.bill()
    assert sorted(row["attempt_id"] for row in rows) == sorted(bill)
    for row in rows:
        cost_pico, truth = int(Decimal(row["cost_usd"]) * 10**12), bill[row["attempt_id"]]
        assert cost_pico == truth.cost_pico or (row["state"] == "unknown" and cost_pico > truth.cost_pico), (row, truth)
    assert served.chain_is_whole()


async def metric(served: Served, name: str) -> float:
    """The sum over all series of one metric."""
    page = (await served.admin("/metrics")).body.decode()
    return sum(float(line.rpartition(" ")[2]) for line in page.splitlines() if re.match(rf"{name}[ {{]", line))


def rss_mib(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


async def counts(served: Served, name: str, wanted: float) -> bool:
    return await metric(served, name) == wanted


@pytest.mark.parametrize("workers", [2, 4])
async def test_a_worker_dies_in_the_middle(served: Served, workers: int) -> None:
    await served.start(workers)
    pids = served.worker_pids()
    assert len(pids) == workers
    streams = await open_streams(served, 24)
    seen = Counter(process_of(stream.data) for _, stream in streams)
    assert await metric(served, "signalbox_in_flight") == 24
    # The worker that dies is one that has something to lose.
    os.kill(served.busiest(pids), signal.SIGKILL)
    await statuses(served, FAST)
    said = await asyncio.gather(*(stream.rest() for _, stream in streams))
    whole = Counter(COMPLETE[api] in data for (api, _), data in zip(streams, said, strict=True))
    lost = {process_of(data) for (api, _), data in zip(streams, said, strict=True) if COMPLETE[api] not in data}
    assert len(lost) == 1
    assert whole[False] == seen[lost.pop()]
    await until(lambda: "attempts_recovered" in served.stderr(), "recovery")
    await until(lambda: counts(served, "signalbox_workers", workers), "the worker is back")
    assert pids != served.worker_pids()
    assert await statuses(served, FAST) == {200: 16}
    rows = served.rows()
    states = Counter(row["state"] for row in rows)
    assert states["unknown"] == whole[False]
    assert_booked(served, rows)


async def test_every_worker_answers_and_metrics_add_up(served: Served) -> None:
    await served.start(4)
    assert max(map(rss_mib, served.worker_pids())) <= 90, "an idle worker is too heavy"
    streams = await open_streams(served, 40)
    for _ in range(4):  # where the others get no time, one may take all that come at once
        if len({process_of(stream.data) for _, stream in streams}) > 1:
            break
        streams += await open_streams(served, 40)
    assert len({process_of(stream.data) for _, stream in streams}) > 1
    await asyncio.gather(*(stream.until(COMPLETE[api]) for api, stream in streams))
    assert (await statuses(served, FAST, count=60))[200] == 60
    asked = len(streams) + 60
    assert await metric(served, "signalbox_requests_total") == asked
    assert await metric(served, "signalbox_attempts_total") == asked
    assert await metric(served, "signalbox_request_seconds_count") == asked
    os.kill(served.worker_pids()[0], signal.SIGKILL)
    await until(lambda: "a worker died" in served.stderr(), "the death is noticed")
    await until(lambda: len(served.worker_pids()) == 4, "the worker is back")
    assert await metric(served, "signalbox_requests_total") == asked, "a counter fell"
    assert_booked(served, served.rows())


async def every_worker_says(served: Served, key: str, status: int, workers: int) -> None:
    """Each worker is asked now, with no time for anything to arrive, and none says anything else. (Where connections
    go to few of them, those are asked so often that they call it guessing.)"""
    seen: set[str] = set()
    expected = {status, 429} if status == 401 else {status}
    for _ in range(40):
        for answer in await asyncio.gather(*(served.request(PATHS["chat"], FAST, key=key) for _ in range(8))):
            assert answer.status in expected
            seen.add(answer.headers["x-request-id"][4:20])
        if len(seen) == workers:
            return
    raise AssertionError(f"only {len(seen)} of {workers} workers were asked")


async def test_a_key_works_and_ends_on_every_worker_at_once(served: Served) -> None:
    """Whoever holds the answer may use it: nobody waits for workers to look at the store."""
    await served.start(3)
    for number in range(2):
        made = (await served.admin("/api/keys", {"name": f"by-api-{number}"})).json
        await every_worker_says(served, made["key"], 200, 3)
        again = (await served.admin(f"/api/keys/{made['id']}/rotate", {"grace_s": 0})).json
        await every_worker_says(served, again["key"], 200, 3)
        await every_worker_says(served, made["key"], 401, 3)
        assert (await served.admin(f"/api/keys/{again['id']}/revoke", {})).status == 200
        await every_worker_says(served, again["key"], 401, 3)
    made = served.cli("keys", "create", "--name", "by-cli")[0]
    await every_worker_says(served, made["key"], 200, 3)
    again = served.cli("keys", "rotate", made["id"])[0]
    await every_worker_says(served, again["key"], 200, 3)
    served.cli("keys", "revoke", again["id"])
    await every_worker_says(served, again["key"], 401, 3)
    # One that is started again knows what was made meanwhile, and hears what is made later.
    os.kill(served.worker_pids()[0], signal.SIGKILL)
    made = (await served.admin("/api/keys", {"name": "meanwhile"})).json
    await until(lambda: len(served.worker_pids()) == 3, "the worker is back")
    await until(lambda: counts(served, "signalbox_workers", 3), "the worker counts again")
    await every_worker_says(served, made["key"], 200, 3)
    # Without the bell (a state directory on which sockets do not work) the look at the store is enough.
    served.state.doorbell.unlink()
    made = served.cli("keys", "create", "--name", "no-bell")[0]
    await until(lambda: all_are(served, 200, FAST, made["key"]), "the new key works everywhere")


async def test_the_configuration_reaches_every_worker(served: Served) -> None:
    secret = served.root / "provider-key"
    secret.write_text("sk-first")
    served.config["deployments"]["chat"]["api_key"] = f"file:{secret}"
    await served.start(3)
    fresh = {**FAST, "model": "w-fresh"}
    assert await statuses(served, fresh) == {404: 16}
    served.config["workloads"]["w-fresh"] = {"placements": ["chat"]}
    served.write()
    await until(lambda: all_are(served, 200, fresh), "the edited file is in force everywhere")
    good = (await served.admin("/api/status")).json["generation"]
    served.write({**served.config, "workloads": {"w-fresh": {"placements": ["nowhere"]}}})
    await until(lambda: "configuration refused" in served.stderr(), "the refusal is logged")
    assert await statuses(served, fresh) == {200: 16}
    status = (await served.admin("/api/status")).json
    assert (status["generation"], status["reload_failures"]) == (good, 1)
    assert "nowhere" in status["last_reload_error"]
    assert re.search(r"signalbox.yaml:\d+", status["last_reload_error"])
    assert "nowhere" in served.stderr()
    served.write()
    await until(lambda: generation(served, good + 1), "the mended file is in force")
    # A secret in a file of its own.
    assert await bearers(served) == {"Bearer sk-first"}
    secret.write_text("sk-second")
    await until(lambda: second(served), "the new secret is used everywhere")
    # By hand.
    before = (await served.admin("/api/status")).json["generation"]
    served.signal(signal.SIGHUP)
    await until(lambda: generation(served, before + 1), "SIGHUP reloads")
    assert (await served.admin("/api/reload", post=True)).json == {"generation": before + 2}
    assert served.process is not None
    assert served.process.poll() is None


async def generation(served: Served, wanted: int) -> bool:
    status = (await served.admin("/api/status")).json
    return status["generation"] == wanted and not status["last_reload_error"]


async def all_are(served: Served, status: int, body: dict[str, Any], key: str | None = None) -> bool:
    return (await statuses(served, body, key)).keys() == {status}


async def bearers(served: Served) -> set[str | None]:
    """The credentials that providers see from all workers."""
    served.sim.log.clear()
    await statuses(served, FAST)
    return {entry.header("authorization") for entry in served.sim.log.entries}


async def second(served: Served) -> bool:
    return await bearers(served) == {"Bearer sk-second"}


async def test_a_second_gateway_on_the_same_state_is_turned_away(served: Served) -> None:
    await served.start(1)
    first, errors_before = served.process, served.stderr()
    served.spawn(1)
    try:
        assert await served.exit_code(60) == 2
    finally:
        second, served.process = served.process, first
        assert second is not None
        assert second.stdout is not None
        second.stdout.close()
    said = served.stderr()[len(errors_before) :]
    assert f"another gateway (process {served.pid}) serves from this state directory" in said
    assert "--state-dir" in said
    assert (await served.request("/v1/chat/completions", body_of("chat", "w-chat", "hello"))).status == 200
    served.kill_all()
    await served.start(1)  # whoever is killed leaves nothing behind that has to be tidied up


async def test_the_supervisor_dies(served: Served) -> None:
    """Workers without a supervisor end what runs and go; the next start finds the books complete."""
    await served.start(2)
    port = served.port
    pids = served.worker_pids()
    streams = await open_streams(served, 9)
    os.kill(served.pid, signal.SIGKILL)
    assert served.process is not None
    served.process.wait()
    said = await asyncio.gather(*(stream.rest() for _, stream in streams))
    assert all(COMPLETE[api] in data for (api, _), data in zip(streams, said, strict=True))
    await until(lambda: not any(alive(pid) for pid in pids), "the workers are gone")
    await served.start(2, port=port)
    assert await statuses(served, FAST) == {200: 16}
    rows = served.rows()
    assert Counter(row["state"] for row in rows) == {"settled": 25}
    assert_booked(served, rows)


async def test_the_whole_family_dies(served: Served) -> None:
    await served.start(2)
    streams = await open_streams(served, 12)
    served.kill_all()
    said = await asyncio.gather(*(stream.rest() for _, stream in streams))
    assert not any(COMPLETE[api] in data for (api, _), data in zip(streams, said, strict=True))
    await served.start(1)
    rows = served.rows()
    assert Counter(row["state"] for row in rows) == {"unknown": 12}
    assert_booked(served, rows)


async def test_what_is_written_is_its_owners_alone_and_workers_know_no_admin_secret(
    served: Served,
) -> None:
    before = os.umask(0)
    try:
        await served.start(2)
    finally:
        os.umask(before)
    assert (await served.request("/v1/chat/completions", body_of("chat", "w-chat", "hello"))).status == 200
    assert (await served.admin("/api/status")).status == 200, "the supervisor itself knows it"
    async with asyncio.timeout(60):
        while not (served.state.checkpoints / "latest").exists():
            await asyncio.sleep(0.1)
    for path in (served.state.root, *served.state.root.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path
    started = [*served.worker_pids(), *children(served.pid, "_ship")]
    assert len(started) == 3
    for pid in started:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert b"PATH=" in environ
        assert ADMIN.encode() not in environ
