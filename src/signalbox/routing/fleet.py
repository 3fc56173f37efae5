"""What this process has learnt of all deployments, handed from one configuration to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from signalbox.core.snapshot import Deployment, Origin, Saturation, Snapshot
from signalbox.routing.bonds import Bonds
from signalbox.routing.group import Credential, Group
from signalbox.routing.quarantine import Quarantine
from signalbox.routing.reach import Reach
from signalbox.routing.replica import Replica
from signalbox.routing.saturation import Gauge
from signalbox.routing.shares import Shares
from signalbox.routing.strategies import Paces
from signalbox.routing.trails import Trails


class Fleet(msgspec.Struct, frozen=True):
    """What is known of the deployments of one snapshot. groups: by deployment index."""

    groups: tuple[Group, ...]
    quarantine: Quarantine
    bonds: Bonds
    trails: Trails
    reach: Reach
    chance: Callable[[], float]

    def paces(self, index: int) -> Paces:
        """How fast the deployment with this index is, as of a second ago."""
        return self.groups[index].paces

    def of(self, deployment: Deployment) -> Group:
        return self.groups[deployment.index]

    def unconnected(self, replica: Replica, now_ns: int) -> None:
        """No connection to a replica came about, which says something of others too."""
        self.reach.unconnected(self.groups, replica, now_ns)

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
        self._reach = Reach()

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
        return Fleet(listed, self._quarantine, self._bonds, self._trails, self._reach, self._chance)

    def groups(self) -> Iterable[tuple[str, Group]]:
        """By the name of the deployment, as in the newest snapshot."""
        return self._groups.items()


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
