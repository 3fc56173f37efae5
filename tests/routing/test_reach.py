"""Which replicas rest because no connection to one of them came about."""

from __future__ import annotations

from signalbox.core.snapshot import Health, Origin
from signalbox.routing.group import Credential, Group
from signalbox.routing.reach import TOGETHER_NS, Reach
from signalbox.routing.replica import SECOND_NS, Replica

NOW_NS = 1_000 * SECOND_NS


def group(host: str, *, private: bool = False) -> Group:
    replica = Replica(Origin("https", host, 443, "/v1", private), Health())
    return Group([replica], Credential(), lambda: 0.5)


class Places:
    def __init__(self) -> None:
        self.groups = [group("one"), group("one"), group("two"), group("three"), group("10.0.0.1", private=True)]
        self.reach = Reach()

    def fails(self, at: int, now_ns: int = NOW_NS) -> set[int]:
        """Which are passed over once the one at this place could not be reached."""
        replica = self.groups[at].replicas[0]
        replica.failed(now_ns, 0.5, slow=True)
        self.reach.unconnected(self.groups, replica, now_ns)
        return {n for n, one in enumerate(self.groups) if one.pick(now_ns) is None}

    def answers(self, at: int) -> None:
        self.groups[at].replicas[0].succeeded(NOW_NS, 0, SECOND_NS, 0)


def test_the_same_address_is_not_tried_for_another_model() -> None:
    assert Places().fails(0) == {0, 1}


def test_two_hosts_are_the_way_out() -> None:
    places = Places()
    places.fails(0)
    assert places.fails(2) == {0, 1, 2, 3}
    assert all(one.pick(NOW_NS, resting=True) is not None for one in places.groups), "where nothing else is left"
    assert all(one.pick(NOW_NS + 60 * SECOND_NS) is not None for one in places.groups)


def test_not_where_another_one_answered_meanwhile() -> None:
    places = Places()
    places.fails(0)
    places.answers(3)
    assert places.fails(2) == {0, 1, 2}


def test_not_where_they_failed_at_different_times() -> None:
    places = Places()
    places.fails(0)
    assert places.fails(2, NOW_NS + TOGETHER_NS + 1) == {2}


def test_a_private_address_says_nothing_of_the_way_out() -> None:
    places = Places()
    places.fails(0)
    assert places.fails(4) == {0, 1, 4}


def test_it_rests_longer_while_it_stays_away_and_not_for_ever() -> None:
    places = Places()
    now_ns, waits = NOW_NS, []
    places.fails(0, now_ns)
    for _ in range(8):
        places.fails(2, now_ns)
        back_ns = places.groups[3].usable_at()
        waits.append((back_ns - now_ns) // SECOND_NS)
        now_ns = back_ns
    assert waits == [1, 2, 4, 8, 8, 8, 8, 8]


def test_where_health_is_switched_off_nothing_rests() -> None:
    places = Places()
    for one in places.groups:
        one.enabled = False
    places.fails(0)
    assert places.reach is not None
    assert all(one.pick(NOW_NS) is not None for one in places.groups[1:])
