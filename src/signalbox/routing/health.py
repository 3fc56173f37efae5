"""How well each replica and deployment does, as this process sees it: who is used, who rests, who is out of use.

Learnt from calls themselves. Nothing here waits, does I/O or reads a clock: times are nanoseconds of one monotonic
clock, given by the caller, and chance is a function given at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b
from statistics import median

import msgspec

from signalbox.core.snapshot import Deployment, Health, Origin, Saturation, Snapshot
from signalbox.routing.bonds import Bonds
from signalbox.routing.pace import Pace
from signalbox.routing.prefixes import Held, nearest
from signalbox.routing.quarantine import Quarantine
from signalbox.routing.retry import Budget
from signalbox.routing.saturation import Gauge
from signalbox.routing.shares import Shares
from signalbox.routing.strategies import UNTIMED, Paces
from signalbox.routing.trails import Trails

SECOND_NS = 1_000_000_000
# A credential that was refused, or whose quota is used up, is left alone for so long.
CREDENTIAL_NS = 30 * SECOND_NS
# Whoever tries a replica that was out of use decides about it within this time, or another one may.
TRIAL_NS = 60 * SECOND_NS
# A replica that rests after one failure is used again after so long, twice that after two in a row, and so on.
REST_NS = SECOND_NS
# Statistical ejection: what it takes to say that a replica is worse than the others, and for how long that holds.
OUTLIER_CALLS_MIN = 10
OUTLIER_FAILURES_MORE = 0.3
OUTLIER_TIMES_SLOWER = 4.0
OUTLIER_SLOWER_NS = 100_000_000
EJECTED_NS = 10 * SECOND_NS
# More than this share of a deployment's replicas is never ejected for being worse than the rest.
EJECTED_SHARE_MAX = 0.5
# Time between tokens is learnt from one stream in so many.
GAP_EVERY = 4
# Adaptive concurrency: where it begins, how far it falls, how often, and what counts as slow.
LIMIT_START = 16.0
LIMIT_MIN = 1.0
LIMIT_MAX = 4096.0
LIMIT_FALLS_TO = 0.8
LIMIT_FALLS_EVERY_NS = SECOND_NS
LIMIT_SLOW = 2.0
# Spreads what differs in a few bits over all of them.
_MIX = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
# Replicas beyond this number are not all compared at each call: two drawn by chance are.
COMPARED_MAX = 8


class Replica:
    """One address of one deployment. failures: in a row, by different bodies. troubled: it rests, is out of use or was
    ejected, so that a look at the times is needed. in_flight: attempts under way. culprit: the last body it failed on.
    slow_to_fail: its last failure cost the caller seconds, so that a probe goes before the next caller. waiting: calls
    that wait in its engine, as that tells."""

    __slots__ = (
        "_settings",
        "culprit",
        "ejected_ns",
        "ejections",
        "failed_calls",
        "failures",
        "first_token",
        "gap",
        "good_calls",
        "held",
        "in_flight",
        "limit",
        "lowered_ns",
        "open_ns",
        "opens",
        "origin",
        "rest_ns",
        "salt",
        "slow_to_fail",
        "trial_ns",
        "troubled",
        "waiting",
        "whole",
    )

    def __init__(self, origin: Origin, settings: Health) -> None:
        self.origin = origin
        # The same in every process, so that all of them keep a conversation on the same replica.
        self.salt = int.from_bytes(blake2b(origin.name.encode(), digest_size=8).digest(), "big")
        self._settings = settings
        self.in_flight = 0
        self.failures = self.opens = self.ejections = 0
        self.rest_ns = self.open_ns = self.trial_ns = self.ejected_ns = self.lowered_ns = 0
        self.troubled = self.slow_to_fail = False
        self.culprit: bytes | None = None
        self.waiting = 0.0
        self.held = Held()
        self.good_calls = self.failed_calls = 0.0
        self.first_token = Pace()
        self.gap = Pace()
        self.whole = Pace()
        self.limit = LIMIT_START if settings.adaptive_concurrency else 0.0

    def adopt(self, settings: Health) -> None:
        """A new configuration came into force: what was learnt stays."""
        self._settings = settings
        if not settings.enabled:
            self._well()
        if bool(self.limit) != settings.adaptive_concurrency:
            self.limit = LIMIT_START if settings.adaptive_concurrency else 0.0

    # --- may it be used ---

    @property
    def open(self) -> bool:
        """Out of use after failures in a row, until a trial goes well."""
        return self.open_ns > 0

    def usable(self, now_ns: int, *, resting: bool) -> bool:
        """Whether a call may go there now. resting: even to one that was asked to be left alone for a moment."""
        if self.limit and self.in_flight >= self.limit:
            return False
        if not self.troubled:
            return True
        if self.open_ns:
            tried_ns = self.open_ns + TRIAL_NS if self.slow_to_fail else self.open_ns
            return now_ns >= tried_ns and now_ns >= self.trial_ns
        if self.ejected_ns > now_ns:
            return False
        return resting or now_ns >= self.rest_ns

    def usable_at(self) -> int:
        """When it may be used again, as far as is known."""
        return max(self.open_ns, self.trial_ns if self.open_ns else 0, self.ejected_ns, self.rest_ns)

    # --- one attempt ---

    def begin(self, now_ns: int) -> None:
        self.in_flight += 1
        if self.open_ns:
            self.trial_ns = now_ns + TRIAL_NS

    def end(self) -> None:
        """However it ended. A trial nobody learnt anything from (its client left) leaves room for the next one."""
        self.in_flight -= 1
        self.trial_ns = 0

    def succeeded(self, now_ns: int, first_ns: int, whole_ns: int, pieces: int) -> None:
        """first_ns: until the first content, 0 when it did not stream. whole_ns: the whole attempt. pieces: events
        with content."""
        self.good_calls += 1.0
        if first_ns:
            first_token = self.first_token
            first_token.observe(first_ns)
            if pieces > 1 and not first_token.samples % GAP_EVERY:
                self.gap.observe((whole_ns - first_ns) // (pieces - 1))
        else:
            self.whole.observe(whole_ns)
        if self.failures or self.troubled:
            self._well()
        if self.limit:
            self._adapt(now_ns, first_ns or whole_ns, self.first_token if first_ns else self.whole)

    def failed(
        self,
        now_ns: int,
        chance: float,
        *,
        wait_ns: int = 0,
        overloaded: bool = False,
        slow: bool = False,
        culprit: bytes | None = None,
    ) -> None:
        """wait_ns: how long it asked to be left alone. overloaded: it said so. slow: it took the caller's time to fail.
        culprit: a digest of the body it failed on, where the body may be to blame: the same one again says nothing new.
        """
        settings = self._settings
        if not settings.enabled:
            return
        if overloaded and self.limit:
            self._lower(now_ns)
        if culprit is not None and culprit == self.culprit and not self.open_ns:
            return
        self.culprit = culprit
        self.failed_calls += 1.0
        self.failures += 1
        if self.failures >= 2 or overloaded:
            shift = min(self.failures - 1 if overloaded else self.failures - 2, 10)
            rest_ns = min(REST_NS << shift, round(settings.open_s_max * SECOND_NS))
            self.rest(now_ns + max(wait_ns, round(rest_ns * (0.75 + 0.5 * chance))))
        if settings.failures and (self.failures >= settings.failures or self.open_ns):
            self._open(now_ns, wait_ns, chance)
            self.slow_to_fail = slow and settings.probe != "off"

    def rest(self, until_ns: int) -> None:
        """Others are used until then, where there are any."""
        self.rest_ns = max(self.rest_ns, until_ns)
        self.troubled = True

    def probed(self, now_ns: int, *, alive: bool) -> None:
        """What a probe found, which carries nothing of any call: one that answers may be tried by the next call."""
        if alive:
            self.slow_to_fail = False
            self.open_ns = min(self.open_ns, now_ns)

    def eject(self, now_ns: int) -> None:
        """Much worse than the others: not used for a while, longer each time."""
        self.ejections = min(self.ejections + 1, 6)
        self.ejected_ns = now_ns + EJECTED_NS * self.ejections
        self.troubled = True

    def _open(self, now_ns: int, wait_ns: int, chance: float) -> None:
        settings = self._settings
        for_s = min(settings.open_s * (1 << min(self.opens, 16)), settings.open_s_max)
        self.opens += 1
        self.open_ns = now_ns + max(wait_ns, round(for_s * SECOND_NS * (0.8 + 0.4 * chance)))
        self.trial_ns = 0
        self.troubled = True

    def _well(self) -> None:
        self.failures = self.opens = 0
        self.rest_ns = self.open_ns = self.trial_ns = 0
        self.slow_to_fail = False
        self.culprit = None
        self.troubled = self.ejected_ns > 0

    def forget(self, now_ns: int) -> None:
        """Once a second: old calls count less, an ejection that is over is over."""
        self.good_calls *= 0.95
        self.failed_calls *= 0.95
        if self.ejected_ns and self.ejected_ns <= now_ns:
            self.ejected_ns = 0
            self.good_calls = self.failed_calls = 0.0
            self.first_token.samples = 0
            self.troubled = self.open_ns > 0 or self.rest_ns > now_ns

    # --- adaptive concurrency: up by one a round while it is fast, down at once when it is not ---

    def _adapt(self, now_ns: int, took_ns: int, pace: Pace) -> None:
        if pace.samples > OUTLIER_CALLS_MIN and took_ns > LIMIT_SLOW * pace.quantile_ns(0.5):
            self._lower(now_ns)
        elif self.in_flight * 2 >= self.limit:
            self.limit = min(LIMIT_MAX, self.limit + 1.0 / self.limit)

    def _lower(self, now_ns: int) -> None:
        if now_ns - self.lowered_ns >= LIMIT_FALLS_EVERY_NS:
            self.lowered_ns = now_ns
            self.limit = max(LIMIT_MIN, self.limit * LIMIT_FALLS_TO)


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
        if calls >= OUTLIER_CALLS_MIN:
            share = replica.failed_calls / calls
            rest = sum(o.failed_calls for o in others) / max(1.0, sum(o.good_calls + o.failed_calls for o in others))
            if share > rest + OUTLIER_FAILURES_MORE:
                return True
        paces = [other.first_token.average_ns for other in others if other.first_token.samples >= OUTLIER_CALLS_MIN]
        if not paces or replica.first_token.samples < OUTLIER_CALLS_MIN:
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


def _shares(deployment: Deployment, known: Shares | None) -> Shares | None:
    """Counts go on where shares did before; calls that began without any are not among them."""
    if not deployment.shares:
        return None
    if known is None:
        return Shares(deployment.concurrency, deployment.shares)
    known.adopt(deployment.concurrency, deployment.shares)
    return known


def _gauge(settings: Saturation, known: Gauge | None) -> Gauge | None:
    """None where the configuration states no threshold."""
    if settings.waiting_max is None and not settings.kv_cache_max and not settings.in_flight_max:
        return None
    gauge = known or Gauge(settings)
    gauge.adopt(settings)
    return gauge


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


class Fleet(msgspec.Struct, frozen=True):
    """What is known of the deployments of one snapshot. groups: by deployment index."""

    groups: tuple[Group, ...]
    quarantine: Quarantine
    bonds: Bonds
    trails: Trails
    chance: Callable[[], float]

    def paces(self, index: int) -> Paces:
        """How fast the deployment with this index is, as of a second ago."""
        return self.groups[index].paces

    def of(self, deployment: Deployment) -> Group:
        return self.groups[deployment.index]

    def care(self, now_ns: int) -> None:
        """Once a second."""
        for group in self.groups:
            group.care(now_ns)


class Fleets:
    """What was learnt lives as long as the process, and is handed from one configuration to the next."""

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._replicas: dict[tuple[str, Origin], Replica] = {}
        self._credentials: dict[object, Credential] = {}
        self._groups: dict[str, Group] = {}
        self._quarantine = Quarantine()
        self._bonds = Bonds()
        self._trails = Trails()

    def adopt(self, snapshot: Snapshot) -> Fleet:
        """The fleet of a snapshot. What it no longer names is forgotten; a changed credential begins anew."""
        replicas: dict[tuple[str, Origin], Replica] = {}
        credentials: dict[object, Credential] = {}
        groups: dict[str, Group] = {}
        timed = any(one.strategy == "fastest" or one.ttft_p95_ms for one in snapshot.workloads.values())
        for deployment in snapshot.deployments:
            name, settings = deployment.name, deployment.health
            mine: list[Replica] = []
            for origin in deployment.replicas:
                replica = self._replicas.get((name, origin)) or Replica(origin, settings)
                replica.adopt(settings)
                replicas[name, origin] = replica
                mine.append(replica)
            hosts = frozenset(origin.host for origin in deployment.replicas)
            # Without a credential there is none to share with others at the same place.
            account = (deployment.auth or name, hosts)
            known = credentials.get(account) or self._credentials.get(account) or Credential()
            credentials[account] = known
            group = self._groups.get(name)
            if group is None or group.credential is not known:
                group = Group(mine, known, self._chance)
            group.replicas = mine
            group.concurrency = deployment.concurrency
            group.enabled = settings.enabled
            group.gauge = _gauge(deployment.saturation, group.gauge)
            group.shares = _shares(deployment, group.shares)
            group.timed = timed
            groups[name] = group
        self._replicas, self._credentials, self._groups = replicas, credentials, groups
        listed = tuple(groups[deployment.name] for deployment in snapshot.deployments)
        return Fleet(listed, self._quarantine, self._bonds, self._trails, self._chance)

    def groups(self) -> Iterable[tuple[str, Group]]:
        """By the name of the deployment, as in the newest snapshot."""
        return self._groups.items()
