"""Replicas as one process sees them: out of use, tried by one call, back; ejected, but never most of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.snapshot import Health, Origin
from signalbox.routing.group import CREDENTIAL_NS, Credential, Group
from signalbox.routing.replica import SECOND_NS, TRIAL_NS, Replica

SETTINGS = Health(failures=3, open_s=2.0, open_s_max=8.0, probe="off")


def origin(number: int) -> Origin:
    return Origin("http", f"h{number}", 80, "/v1")


def group_of(count: int, health: Health = SETTINGS) -> Group:
    return Group([Replica(origin(number), health) for number in range(count)], Credential(), lambda: 0.5)


def fail(replica: Replica, now_ns: int, times: int = 1) -> None:
    for _ in range(times):
        replica.failed(now_ns, 0.5)


def test_after_failures_in_a_row_it_is_out_of_use_and_one_call_at_a_time_tries_it() -> None:
    group = group_of(1)
    (replica,) = group.replicas
    fail(replica, 0, 2)
    assert group.pick(0, resting=True) is replica, "two are not three"
    fail(replica, 0)
    assert group.pick(SECOND_NS, resting=True) is None
    assert group.usable_at() == 2 * SECOND_NS
    now = 2 * SECOND_NS
    assert group.pick(now) is replica
    replica.begin(now)
    assert group.pick(now, resting=True) is None, "somebody is trying it"
    replica.end()
    fail(replica, now)
    assert group.pick(now + 3 * SECOND_NS, resting=True) is None, "twice as long"
    now += 4 * SECOND_NS
    assert group.pick(now) is replica
    replica.begin(now)
    replica.end()
    replica.succeeded(now, 0, 1000, 0)
    assert group.pick(now) is replica
    assert not replica.troubled


def test_a_trial_nobody_ended_makes_room_for_another() -> None:
    group = group_of(1)
    (replica,) = group.replicas
    fail(replica, 0, 3)
    now = 2 * SECOND_NS
    replica.begin(now)
    assert group.pick(now + TRIAL_NS - 1) is None
    assert group.pick(now + TRIAL_NS) is replica


def test_how_long_it_is_out_of_use_is_bounded_and_what_it_asks_for_is_heeded() -> None:
    group = group_of(1)
    (replica,) = group.replicas
    now = 0
    for _ in range(40):
        fail(replica, now)
        assert replica.open_ns <= now + 8 * SECOND_NS * 1.2
        now = max(now, replica.open_ns)
    replica.failed(now, 0.5, wait_ns=30 * SECOND_NS, overloaded=True)
    assert replica.usable_at() >= now + 30 * SECOND_NS


def test_one_that_asks_for_less_rests_while_there_are_others() -> None:
    group = group_of(2)
    one, other = group.replicas
    one.failed(0, 0.5, wait_ns=5 * SECOND_NS, overloaded=True)
    assert group.pick(SECOND_NS) is other
    assert group.pick(SECOND_NS, avoid=other) is other, "rather the one that has just failed"
    fail(other, SECOND_NS, 3)
    assert group.pick(SECOND_NS) is None
    assert group.pick(SECOND_NS, resting=True) is one
    assert group.pick(5 * SECOND_NS, avoid=other) is one


def test_one_body_never_takes_a_replica_out_of_use() -> None:
    group = group_of(1)
    (replica,) = group.replicas
    for _ in range(100):
        replica.failed(0, 0.5, culprit=b"poison")
    assert group.pick(0) is replica
    for number in range(3):
        replica.failed(0, 0.5, culprit=b"%d" % number)
    assert group.pick(0, resting=True) is None, "different bodies do"


def test_after_silence_a_probe_goes_before_the_next_call() -> None:
    group = group_of(1, msgspec.structs.replace(SETTINGS, probe="models"))
    (replica,) = group.replicas
    for _ in range(3):
        replica.failed(0, 0.5, slow=True)
    now = 3 * SECOND_NS
    assert group.pick(now) is None
    replica.probed(now, alive=False)
    assert group.pick(now) is None
    replica.probed(now, alive=True)
    assert group.pick(now) is replica
    for _ in range(3):
        replica.failed(now, 0.5, slow=True)
    assert group.pick(replica.open_ns + TRIAL_NS) is replica, "where nobody probes, a call does in the end"


def test_a_refused_credential_is_left_alone_and_then_tried() -> None:
    group = group_of(2)
    group.credential.refused(0)
    assert group.pick(CREDENTIAL_NS - 1, resting=True) is None
    assert group.cold(CREDENTIAL_NS - 1)
    assert group.pick(CREDENTIAL_NS) is not None


def test_where_nothing_is_judged_nothing_is_taken_out_of_use() -> None:
    group = group_of(1, Health(enabled=False))
    fail(group.replicas[0], 0, 100)
    assert group.pick(0) is group.replicas[0]


def test_the_least_loaded_is_picked() -> None:
    group = group_of(4)
    for replica in group.replicas[:3]:
        replica.begin(0)
    assert group.pick(0) is group.replicas[3]


@given(st.integers(1, 2**64 - 1), st.integers(2, 8))
def test_a_key_stays_and_moves_only_when_its_replica_is_gone_or_busy(key: int, count: int) -> None:
    group = group_of(count)
    home = group.pick(0, key=key)
    assert home is not None
    gone = next(replica for replica in group.replicas if replica is not home)
    fail(gone, 0, 3)
    assert group.pick(0, key=key) is home, "somebody else's leaving moves nobody"
    for _ in range(20):
        home.begin(0)
    moved = group.pick(0, key=key)
    assert moved is not None
    assert moved is not home or count == 2


def test_a_replica_much_worse_than_the_others_is_ejected_for_a_while() -> None:
    group = group_of(4, msgspec.structs.replace(SETTINGS, failures=0))
    for replica in group.replicas:
        for _ in range(20):
            replica.succeeded(0, 10_000_000, 20_000_000, 2)
    for _ in range(20):
        group.replicas[0].failed(0, 0.5)
        group.replicas[0].succeeded(0, 10_000_000, 20_000_000, 2)
    for _ in range(40):
        group.replicas[1].succeeded(0, 3 * SECOND_NS, 4 * SECOND_NS, 2)
    group.care(SECOND_NS)
    assert [bool(replica.ejected_ns) for replica in group.replicas] == [True, True, False, False]
    assert all(group.pick(SECOND_NS) not in group.replicas[:2] for _ in range(20))
    group.care(12 * SECOND_NS)
    assert not any(replica.ejected_ns for replica in group.replicas)


def test_when_most_look_bad_none_is_ejected() -> None:
    group = group_of(4, msgspec.structs.replace(SETTINGS, failures=0))
    for number, replica in enumerate(group.replicas):
        for _ in range(20):
            replica.succeeded(0, (10_000_000 if number == 3 else 3 * SECOND_NS), 4 * SECOND_NS, 2)
            if number != 3:
                replica.failed(0, 0.5)
    for replica in group.replicas[:3]:
        replica.succeeded(0, 10_000_000, 20_000_000, 2)
    group.care(SECOND_NS)
    assert sum(bool(replica.ejected_ns) for replica in group.replicas) <= 2


def test_the_limit_follows_what_a_replica_takes() -> None:
    group = group_of(1, msgspec.structs.replace(SETTINGS, adaptive_concurrency=True, failures=0))
    (replica,) = group.replicas
    start = replica.limit
    for _ in range(200):
        for _ in range(int(replica.limit)):
            replica.begin(0)
        for _ in range(int(replica.limit)):
            replica.succeeded(0, 1_000_000, 2_000_000, 2)
        while replica.in_flight:
            replica.end()
    grown = replica.limit
    assert grown > start
    replica.failed(10 * SECOND_NS, 0.5, overloaded=True)
    assert replica.limit == pytest.approx(grown * 0.8)
    for _ in range(int(replica.limit) + 1):
        replica.begin(0)
    replica.succeeded(20 * SECOND_NS, 1_000_000, 2_000_000, 2)
    assert group.pick(20 * SECOND_NS) is None, "full"


EVENTS = st.lists(
    st.tuples(st.sampled_from(["ok", "fail", "overload", "slow", "poison", "leave"]), st.integers(0, 5)), max_size=80
)


@settings(max_examples=60)
@given(EVENTS, st.integers(1, 4))
def test_whatever_happens_it_comes_back_and_counts_return_to_zero(events: list[tuple[str, int]], count: int) -> None:
    group = group_of(count)
    now = 0
    for what, seconds in events:
        now += seconds * SECOND_NS
        replica = group.pick(now) or group.pick(now, resting=True)
        if replica is None:
            assert group.usable_at() > now
            continue
        replica.begin(now)
        replica.end()
        if what == "ok":
            replica.succeeded(now, 1_000_000, 2_000_000, 3)
            assert not replica.failures
        elif what == "poison":
            replica.failed(now, 0.5, culprit=b"p")
        elif what != "leave":
            replica.failed(now, 0.5, overloaded=what == "overload", slow=what == "slow")
        group.care(now)
    assert all(not replica.in_flight for replica in group.replicas)
    assert group.pick(now + 3600 * SECOND_NS) is not None


@given(st.lists(st.floats(0, 1), min_size=20, max_size=20), st.floats(0, 0.9))
@settings(max_examples=300, deadline=None)
def test_by_default_a_call_every_four_seconds_finds_it_again_soon_after_a_minute_of_outage(
    chances: list[float], late_s: float
) -> None:
    """The published outage: 503 for a minute, a call every 4 s, 16 s of them afterwards. late_s: the outage began so
    much after the first call was sent."""
    replica = Replica(origin(0), Health())
    asked_in_vain, back_s = 0, None
    for number, chance in enumerate(chances):
        now_ns = 4 * number * SECOND_NS
        if not replica.usable(now_ns, resting=False):
            continue
        replica.begin(now_ns)
        replica.end()
        if now_ns >= (60 + late_s) * SECOND_NS:
            back_s = now_ns / SECOND_NS - 60
            break
        asked_in_vain += 1
        replica.failed(now_ns, chance, overloaded=True)
    assert back_s is not None
    assert asked_in_vain <= 10
