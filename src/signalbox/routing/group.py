"""One deployment as this process sees it: its credential, its limits, and which of its replicas takes the next attempt.

Learnt from calls themselves. Nothing here waits, does I/O or reads a clock: times are nanoseconds of one monotonic
clock, given by the caller, and chance is a function given at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from signalbox.routing.prefixes import nearest
from signalbox.routing.replica import SECOND_NS, USUAL_CALLS_MIN, Replica
from signalbox.routing.retry import Budget
from signalbox.routing.saturation import Gauge
from signalbox.routing.shares import Shares
from signalbox.routing.strategies import UNTIMED, Paces

# A credential that was refused, or whose quota is used up, is left alone for so long.
CREDENTIAL_NS = 30 * SECOND_NS
# Statistical ejection: what it takes to say that a replica is worse than the others.
OUTLIER_FAILURES_MORE = 0.3
OUTLIER_TIMES_SLOWER = 4.0
OUTLIER_SLOWER_NS = 100_000_000
# More than this share of a deployment's replicas is never ejected for being worse than the rest.
EJECTED_SHARE_MAX = 0.5
# Spreads what differs in a few bits over all of them.
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Replicas beyond this number are not all compared at each call: two drawn by chance are.
COMPARED_MAX = 8


class Credential:
    """One credential at one provider. cool_ns: left alone until then. trial: somebody tries it again."""

    __slots__ = ("cool_ns",)

    def __init__(self) -> None:
        self.cool_ns = 0

    def refused(self, now_ns: int, wait_ns: int = 0) -> None:
        self.cool_ns = now_ns + max(CREDENTIAL_NS, wait_ns)


class Group:
    """One deployment: its replicas, its credential, its retries. attempts: first ones so far, retries apart. active:
    attempts under way. cool_ns: left alone until then because of what only its configuration can mend. asleep: it
    scales to zero, and is there. timed: choices depend on how fast it is, which paces tells as of a second ago."""

    __slots__ = (
        "_chance",
        "active",
        "asleep",
        "attempts",
        "budget",
        "concurrency",
        "cool_ns",
        "credential",
        "enabled",
        "gauge",
        "paces",
        "replicas",
        "shares",
        "timed",
    )

    def __init__(self, replicas: list[Replica], credential: Credential, chance: Callable[[], float]) -> None:
        self.replicas = replicas
        self.credential = credential
        self.budget = Budget()
        self.active = self.attempts = self.cool_ns = self.concurrency = 0
        self.gauge: Gauge | None = None
        self.shares: Shares | None = None
        self.enabled = True
        self.asleep = False
        self.timed = False
        self.paces = UNTIMED
        self._chance = chance

    @property
    def full(self) -> bool:
        """At the limit of concurrent calls that its configuration states."""
        return 0 < self.concurrency <= self.active

    @property
    def full_why(self) -> str:
        """Why strategy overflow should go elsewhere, empty when it need not."""
        return self.gauge.full(self.active, len(self.replicas)) if self.gauge is not None else ""

    @property
    def failing(self) -> bool:
        """No replica without a failure since its last success."""
        return all(replica.failures for replica in self.replicas)

    def cold(self, now_ns: int) -> bool:
        """Whether its credential, its quota or its model was refused a short while ago."""
        return now_ns < self.cool_ns or now_ns < self.credential.cool_ns

    def pick(
        self,
        now_ns: int,
        *,
        resting: bool = False,
        avoid: Replica | None = None,
        key: int = 0,
        blocks: Sequence[int] = (),
    ) -> Replica | None:
        """The replica for the next attempt, None when there is none now. avoid: the one that has just failed, used
        only when no other may be. key: what keeps a conversation on one replica, as long as that has room; 0 none.
        blocks: of its prompt, which go where they are known."""
        if self.cool_ns or self.credential.cool_ns:
            if self.cold(now_ns):
                return None
            self.cool_ns = self.credential.cool_ns = 0
        if 0 < self.concurrency <= self.active:
            return None
        replicas = self.replicas
        if len(replicas) == 1:
            replica = replicas[0]
            if not replica.troubled and not replica.limit:
                return replica
            return replica if replica.usable(now_ns, resting=resting) else None
        usable = [replica for replica in replicas if replica is not avoid and replica.usable(now_ns, resting=resting)]
        if not usable:
            return avoid if avoid is not None and avoid.usable(now_ns, resting=resting) else None
        if blocks:
            return _nearest(usable, key, blocks, now_ns)
        if key:
            return _kept(usable, key)
        if len(usable) > COMPARED_MAX:
            usable = [usable[int(self._chance() * len(usable)) % len(usable)] for _ in range(2)]
        return min(usable, key=_load)

    def usable_at(self) -> int:
        """When it may be used again, as far as is known."""
        at_ns = min(replica.usable_at() for replica in self.replicas)
        return max(at_ns, self.cool_ns, self.credential.cool_ns)

    def care(self, now_ns: int) -> None:
        """Once a second: ejects replicas that are much worse than the rest, unless that would be too many."""
        for replica in self.replicas:
            replica.forget(now_ns)
        if self.timed:
            self.paces = _paces(self.replicas)
        if self.gauge is not None:
            self.gauge.forget()
        if len(self.replicas) < 3 or not self.enabled:
            return
        worse = [replica for replica in self.replicas if replica.ejected_ns or self._is_outlier(replica)]
        if len(worse) > EJECTED_SHARE_MAX * len(self.replicas):
            # Panic: when most look bad, it is not them.
            for replica in worse:
                replica.ejected_ns = min(replica.ejected_ns, now_ns)
            return
        for replica in worse:
            if not replica.ejected_ns:
                replica.eject(now_ns)

    def _is_outlier(self, replica: Replica) -> bool:
        others = [other for other in self.replicas if other is not replica and not other.ejected_ns]
        calls = replica.good_calls + replica.failed_calls
        if calls >= USUAL_CALLS_MIN:
            share = replica.failed_calls / calls
            rest = sum(o.failed_calls for o in others) / max(1.0, sum(o.good_calls + o.failed_calls for o in others))
            if share > rest + OUTLIER_FAILURES_MORE:
                return True
        paces = [other.first_token.average_ns for other in others if other.first_token.samples >= USUAL_CALLS_MIN]
        if not paces or replica.first_token.samples < USUAL_CALLS_MIN:
            return False
        usual = median(paces)
        mine = replica.first_token.average_ns
        return mine > OUTLIER_TIMES_SLOWER * usual and mine > usual + OUTLIER_SLOWER_NS


def _paces(replicas: list[Replica]) -> Paces:
    """Of all replicas, by the one in the middle: calls are spread over them."""
    streamed = [replica.first_token for replica in replicas if replica.first_token.samples]
    whole = [replica.whole for replica in replicas if replica.whole.samples]
    return Paces(
        round(median([pace.quantile_ns(0.5) for pace in streamed])) if streamed else 0,
        round(median([pace.quantile_ns(0.95) for pace in streamed])) if streamed else 0,
        sum([pace.samples for pace in streamed]),
        round(median([pace.quantile_ns(0.5) for pace in whole])) if whole else 0,
        sum([pace.samples for pace in whole]),
    )


def _load(replica: Replica) -> float:
    return replica.in_flight + replica.waiting


def _kept(usable: list[Replica], key: int) -> Replica:
    """The replica that a key belongs to among these (rendezvous hashing: one that leaves moves only its own keys),
    unless it has clearly more to do than the others: then the next in the key's order."""
    ranked, most = _ranked(usable, key), 1.25 * _mean_in_flight(usable) + 1
    return next((replica for replica in ranked if replica.in_flight < most), ranked[0])


def _ranked(usable: list[Replica], key: int) -> list[Replica]:
    return sorted(usable, key=lambda replica: (key ^ replica.salt) * _MIX & _MASK)


def _mean_in_flight(usable: list[Replica]) -> float:
    """With the call that is to be placed."""
    return (sum([replica.in_flight for replica in usable]) + 1) / len(usable)


def _nearest(usable: list[Replica], key: int, blocks: Sequence[int], now_ns: int) -> Replica:
    """The replica that knows most of a prompt, of those that do not have clearly more under way than the others."""
    most = 1.5 * _mean_in_flight(usable) + 4
    ranked = _ranked([replica for replica in usable if replica.in_flight < most] or usable, key)
    return ranked[nearest([replica.held for replica in ranked], range(len(ranked)), blocks, now_ns)]
