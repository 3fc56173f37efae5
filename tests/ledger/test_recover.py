"""Recovery: after a real kill every attempt has one end, at an upper bound that is close."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from bisect import bisect_right
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.records import SETTLED, Opened, Progress, Settled
from signalbox.core.usage import Rates, Usage
from signalbox.ledger.chain import ENTRY_DECODER
from signalbox.ledger.estimate import Calibration
from signalbox.ledger.journal import Journal
from signalbox.ledger.open import PROGRESS_INTERVAL_S, OpenAttempts
from signalbox.ledger.recover import recover
from signalbox.ledger.settle import Pace, Track, output_bound
from signalbox.ledger.verify import verify
from signalbox.pricing.cost import cost

WRITER = textwrap.dedent(
    """
    import asyncio, sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from conftest import _opened, _settled
    from signalbox.ledger.journal import Journal

    async def main():
        journal = Journal(Path(sys.argv[1]), "w", fsync="group", segment_bytes_max=64 << 10)
        number = 0
        while True:
            journal.append(_opened(f"x{number}", stream=True))
            # On record before it is sent: whoever reads this line must find the attempt.
            sys.stdout.write(f"x{number}\\n")
            sys.stdout.flush()
            if number % 3:
                journal.append_soon(_settled(f"x{number}"))
            number += 1
            if number % 10 == 0:
                await asyncio.sleep(0)

    asyncio.run(main())
    """
)


def _entries(directory: Path) -> list[object]:
    return [
        ENTRY_DECODER.decode(line.split(b"\t")[0])
        for path in sorted(directory.glob("*/*.log"))
        for line in path.read_bytes().splitlines()
    ]


@pytest.mark.parametrize("after_lines", [1, 500, 2345])
def test_kill_nine_loses_nothing(tmp_path: Path, after_lines: int) -> None:
    here = os.path.dirname(__file__)
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), here], stdout=subprocess.PIPE)
    assert process.stdout is not None
    sent = [process.stdout.readline() for _ in range(after_lines)]
    # While it lives, nothing is taken from it.
    assert recover(tmp_path, 1).chains == 0
    process.send_signal(signal.SIGKILL)
    sent += process.stdout.readlines()
    process.wait()
    ids = {line.decode().strip() for line in sent if line.endswith(b"\n")}

    result = recover(tmp_path, int(time.time() * 1000))
    assert result.attempts > 0
    entries = _entries(tmp_path)
    opened = [entry.attempt_id for entry in entries if isinstance(entry, Opened)]
    ends = [entry.attempt_id for entry in entries if isinstance(entry, Settled)]
    assert ids <= set(opened)
    assert sorted(opened) == sorted(ends) == sorted(set(opened))
    unknown = [entry for entry in entries if isinstance(entry, Settled) and entry.state == "unknown"]
    assert len(unknown) == result.attempts
    assert [ended.end for ended in result.ended] == unknown
    assert all(end.source == "estimated" and end.usage.tokens_in == 100 for end in unknown)
    assert result.cost_pico == sum(end.cost_pico or 0 for end in unknown)
    report = verify(tmp_path)
    assert report.ok, report.findings
    assert report.chains[0].sealed
    # Twice is once.
    assert recover(tmp_path, 1) == msgspec.structs.replace(
        result, chains=0, attempts=0, cost_pico=0, unpriced=0, torn_bytes=0, findings=(), finding_count=0, ended=()
    )


def test_torn_line_is_moved_aside_and_told(tmp_path: Path, fill) -> None:
    fill(tmp_path, "w", 5, close=False)
    path = tmp_path / "w" / "00000001.log"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"k":"opened","attempt_id":"half')
    assert [f.kind for f in verify(tmp_path).findings] == ["torn"]
    result = recover(tmp_path, 1)
    assert [f.kind for f in result.findings] == ["torn"]
    assert result.torn_bytes == 32
    assert (tmp_path / "w" / "00000001.torn").read_bytes() == b'{"k":"opened","attempt_id":"half'
    assert verify(tmp_path).ok


@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\n\n\n", b'{"k":"head"}\t' + b"0" * 63 + b"\n", b"\xff" * 70])
def test_garbage_of_a_power_loss_is_moved_aside(tmp_path: Path, fill, garbage: bytes) -> None:
    fill(tmp_path, "w", 5, close=False)
    with (tmp_path / "w" / "00000001.log").open("ab") as file:
        file.write(garbage)
    assert not verify(tmp_path).ok
    assert recover(tmp_path, 1).torn_bytes == len(garbage)
    assert verify(tmp_path).ok


@pytest.mark.parametrize("content", [b"", b'{"k":"head","chain":'])
def test_a_segment_without_a_head_is_removed(tmp_path: Path, fill, content: bytes) -> None:
    """A crash between creating a segment and writing its head."""
    fill(tmp_path, "w", 5, close=False)
    (tmp_path / "w" / "00000002.log").write_bytes(content)
    recover(tmp_path, 1)
    assert verify(tmp_path).ok
    assert not (tmp_path / "w" / "00000002.log").exists()


def test_damage_is_told_and_the_rest_recovered(tmp_path: Path, fill) -> None:
    fill(tmp_path, "good", 3, close=False)
    fill(tmp_path, "w", 5, close=False)
    path = tmp_path / "w" / "00000001.log"
    # The end of w-2 becomes unreadable: it must come back as unknown, and the damage must be told.
    content = path.read_bytes()
    path.write_bytes(
        content.replace(
            b'{"k":"settled","attempt_id":"w-2"',
            b'{"k":"settled","attempt_id":4242!',
            1,
        )
    )
    result = recover(tmp_path, 1)
    assert {f.kind for f in result.findings} == {"altered", "unreadable"}
    assert result.attempts == 1
    assert not verify(tmp_path).ok


def test_a_chain_that_cannot_be_written_does_not_stop_the_others(tmp_path: Path, fill) -> None:
    fill(tmp_path, "a", 2, close=False)
    (tmp_path / "a" / "lock").unlink()
    (tmp_path / "a" / "lock").mkdir()
    fill(tmp_path, "b", 2, close=False)
    result = recover(tmp_path, 1)
    assert [(f.kind, f.chain) for f in result.findings] == [("unrecoverable", "a")]
    assert {c.chain: c.sealed for c in verify(tmp_path).chains} == {"a": False, "b": True}


def test_recovery_reads_from_the_earliest_open_segment(tmp_path: Path, opened, settled) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, "w", fsync="off", segment_bytes_max=8192)
        journal.append(opened("ended"))
        journal.append(settled("ended"))
        while journal.stats().segment < 3:
            journal.append(opened("e"))
            journal.append(settled("e"))
        journal.append(opened("long"))
        while journal.stats().segment < 9:
            journal.append(opened("e"))
            journal.append(settled("e"))
        await journal.close()

    asyncio.run(main())
    # What came before the open attempt is not read: damage there goes to verification, not to a slow start.
    (tmp_path / "w" / "00000002.log").unlink()
    result = recover(tmp_path, 1)
    assert result.attempts == 1
    assert result.findings == ()
    assert [e.attempt_id for e in _entries(tmp_path) if isinstance(e, Settled) and e.state == "unknown"] == ["long"]


RECOVERER = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    from signalbox.ledger import recover as module
    from signalbox.ledger.writer import ChainWriter
    left = int(sys.argv[2])
    put = ChainWriter.put

    def put_some(self, items):
        put(self, items[:left])
        os.kill(os.getpid(), 9)

    ChainWriter.put = put_some
    module.recover(Path(sys.argv[1]), 1)
    """
)


@pytest.mark.parametrize("written", [0, 1, 7])
def test_killed_recovery_is_finished_by_the_next(tmp_path: Path, opened, written: int) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, "w", fsync="off")
        for number in range(10):
            journal.append(opened(f"x{number}"))
        await journal.close()

    asyncio.run(main())
    killed = subprocess.run([sys.executable, "-c", RECOVERER, str(tmp_path), str(written)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert recover(tmp_path, 2).attempts == 10 - written
    ends = [e.attempt_id for e in _entries(tmp_path) if isinstance(e, Settled)]
    assert sorted(ends) == sorted(f"x{number}" for number in range(10))
    assert verify(tmp_path).ok


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Nothing is known of the deployment, nor how long it ran: 0.36 s at 200 tokens a second.
        ({"stream": False, "out_max": 70}, 70),
        ({"stream": False, "out_max": 500}, 73),
        ({"stream": False, "out_max": 0}, 73),
        ({"stream": False, "api": "embeddings", "out_max": 0}, 0),
        ({"stream": True, "out_max": 10}, 10),
        ({"stream": True, "out_max": 0}, 39),
    ],
)
def test_bounds_without_progress(opened, changes: dict[str, object], expected: int) -> None:
    assert output_bound(opened("x", **changes), Track(), Pace(), Calibration()) == expected


def test_the_bound_is_never_below_what_was_seen(opened) -> None:
    track = Track()
    track.add(1_790_000_000_100, 900)
    assert output_bound(opened("x", stream=True, out_max=512), track, Pace(), Calibration()) == 900
    assert 900 < output_bound(opened("x", stream=True, out_max=0), track, Pace(), Calibration()) <= 900 + 256


def test_the_last_word_on_progress_counts(opened) -> None:
    track = Track()
    track.add(1_790_000_000_100, 900)
    track.add(1_790_000_000_200, 300)
    assert 300 < output_bound(opened("x", stream=True, out_max=0), track, Pace(), Calibration()) < 400


def test_an_unpriced_attempt_stays_unpriced(tmp_path: Path, opened) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, "w", fsync="off")
        journal.append(opened("x", rates=Rates(priced=False)))
        await journal.close()

    asyncio.run(main())
    assert recover(tmp_path, 1).unpriced == 1
    end = next(e for e in _entries(tmp_path) if isinstance(e, Settled))
    assert end.cost_pico is None


def _cut(chance: random.Random, streams: int, last_s: float) -> tuple[list[int], list[int]]:
    """(truth, bound) of streams of 20 to 100 tokens a second, jittered, begun at random times and cut together. One
    loop that lags up to 100 ms writes their progress; the provider goes on for up to 60 ms after the cut."""
    cut_s = chance.uniform(0.8, 1) * last_s
    arrivals: list[list[float]] = []
    starts = [chance.uniform(0, cut_s) for _ in range(streams)]
    for start_s in starts:
        rate = chance.uniform(20, 100)
        now, end = start_s + chance.uniform(0.1, 0.6), cut_s + chance.uniform(0, 0.06)
        arrivals.append([])
        while now < end:
            arrivals[-1].append(now)
            now += chance.uniform(0.5, 1.5) / rate
    pace, tracks, tick = Pace(), [Track() for _ in starts], 0.0
    while (tick := tick + PROGRESS_INTERVAL_S + chance.choice((0, 0, 0, 0.02, 0.1))) < cut_s:
        pace.add(int(tick * 1000))
        for track, tokens in zip(tracks, arrivals, strict=True):
            seen = bisect_right(tokens, tick - chance.uniform(0, 0.03))
            if seen > track.tokens:
                track.add(int(tick * 1000), seen)
    bounds = [
        output_bound(
            Opened("x", "c", int(s * 1000), "t", "", "k", "w", "d", "e", "m", "chat", (), "", "v", stream=True),
            track,
            pace,
            Calibration(),
        )
        for s, track in zip(starts, tracks, strict=True)
    ]
    return [len(tokens) for tokens in arrivals], bounds


@given(seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_cut_streams_are_priced_within_ten_percent_and_never_below(seed: int) -> None:
    chance = random.Random(seed)
    truths, bounds = _cut(chance, 60, chance.uniform(10, 30))
    # A burst right before the end may put some streams a few tokens above their bounds, one time in hundreds.
    assert sum(max(0, truth - bound) for truth, bound in zip(truths, bounds, strict=True)) <= 0.005 * sum(truths)
    assert sum(bounds) >= sum(truths)
    assert sum(bounds) <= 1.10 * sum(truths)


async def test_progress_is_one_record_for_all_and_only_when_something_moved(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "w", fsync="off")
    attempts = OpenAttempts(journal, lambda: 1234)
    attempts.start()
    for name in ("a", "b", "c"):
        journal.append(opened(name, stream=True))
        attempts.opened(name)
    attempts.progress("a", 3)
    attempts.progress("b", 5)
    attempts.progress("b", 6)
    attempts.progress("stranger", 6)
    await asyncio.sleep(3.5 * PROGRESS_INTERVAL_S)
    records = [e for e in _entries(tmp_path) if isinstance(e, Progress)]
    assert records == [Progress(time_ms=1234, at=(("a", 3), ("b", 6)))]
    attempts.progress("c", 255)
    attempts.progress("c", 256)
    await asyncio.sleep(0)
    assert [e for e in _entries(tmp_path) if isinstance(e, Progress)][1].at == (("c", 256),)
    attempts.progress("c", 511)
    attempts.closed("c")
    attempts.stop()
    await asyncio.sleep(2 * PROGRESS_INTERVAL_S)
    assert len([e for e in _entries(tmp_path) if isinstance(e, Progress)]) == 2
    assert len(attempts) == 2
    await journal.close()


async def test_watched_attempts_are_asked_and_not_told_of(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "w", fsync="off")
    attempts = OpenAttempts(journal, lambda: 1234)
    attempts.start()
    shown = {"a": 0, "b": 7, "stranger": 9}
    for name in ("a", "b"):
        journal.append(opened(name, stream=True))
        attempts.opened(name)
    for name in shown:
        attempts.watch(name, lambda name=name: shown[name])

    def told() -> list[tuple[tuple[str, int], ...]]:
        return [e.at for e in _entries(tmp_path) if isinstance(e, Progress) and e.at]

    await asyncio.sleep(2.5 * PROGRESS_INTERVAL_S)
    assert told() == [(("b", 7),)]
    shown.update(a=3, b=8)
    attempts.closed("b")
    shown["b"] = 9
    await asyncio.sleep(2.5 * PROGRESS_INTERVAL_S)
    assert told() == [(("b", 7),), (("a", 3),)]
    attempts.stop()
    await journal.close()


async def test_a_call_that_shows_nothing_is_priced_by_its_time(tmp_path: Path, opened) -> None:
    """Signs of life are all there is of it; how fast its deployment is, others have told."""
    journal = Journal(tmp_path, "a", fsync="off")
    attempts = OpenAttempts(journal, lambda: time.time_ns() // 1_000_000)
    attempts.start()
    now_ms = time.time_ns() // 1_000_000
    for number in range(8):
        begun = opened(f"known{number}", stream=False, time_ms=now_ms, body_bytes=1000 + number)
        journal.append(begun)
        told = Usage(tokens_in=200, tokens_out=100)
        journal.append(Settled(begun.attempt_id, now_ms, SETTLED, told, "provider", 1, duration_ms=2000))
    journal.append(opened("slow", stream=False, out_max=4000, in_max=500, time_ms=now_ms, body_bytes=1000))
    attempts.opened("slow")
    await asyncio.sleep(1.0)
    attempts.stop()
    await journal.close()
    recover(tmp_path, 9)
    end = next(e for e in _entries(tmp_path) if isinstance(e, Settled) and e.attempt_id == "slow")
    # At most a second, a gap and what is on its way, at 50 tokens a second and a twentieth.
    assert 50 <= end.usage.tokens_out <= 1.7 * 53
    assert 200 <= end.usage.tokens_in <= 205


async def test_progress_survives_a_refusing_journal(tmp_path: Path, opened) -> None:
    journal = Journal(tmp_path, "w", fsync="off")
    attempts = OpenAttempts(journal, lambda: 1)
    attempts.opened("a")
    await journal.close()
    attempts.progress("a", 300)
    again = Journal(tmp_path, "v", fsync="off")
    attempts._journal = again  # pyright: ignore[reportPrivateUsage]
    attempts.flush_progress()
    again.flush()
    assert [e.at for e in _entries(tmp_path) if isinstance(e, Progress)] == [(("a", 300),)]
    await again.close()


def test_recovered_cost_is_that_of_pricing(tmp_path: Path, opened) -> None:
    async def main() -> None:
        journal = Journal(tmp_path, "w", fsync="off")
        journal.append(opened("x", stream=False, in_max=1000, out_max=50))
        await journal.close()

    asyncio.run(main())
    result = recover(tmp_path, 1)
    record = opened("x")
    assert result.cost_pico == cost(Usage(tokens_in=1000, tokens_out=50), record.rates)
