"""A data-plane process: it serves the listening socket it was given and obeys its supervisor."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_network

import msgspec

from signalbox.core.call import Principal
from signalbox.core.errors import ConfigError
from signalbox.core.labels import labels_of
from signalbox.core.link import (
    Applied,
    ApplyConfig,
    ApplyKeys,
    ApplyKeySets,
    AskMetrics,
    Done,
    Drain,
    EndLapsed,
    Exported,
    Listen,
    Order,
    Report,
    Serving,
    Stop,
)
from signalbox.core.ports import VirtualKey
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import PICO
from signalbox.gateway.accept import Acceptor
from signalbox.gateway.app import Gateway
from signalbox.gateway.auth import Keyring, Known
from signalbox.gateway.http import Connection
from signalbox.gateway.http_limits import HttpLimits
from signalbox.gateway.tls import Listening, TlsConnection
from signalbox.pipeline.stages import Stages
from signalbox.policy.limits import CRITICALITIES


class Worker:
    """Holds the gateway once a first configuration came.

    compile_: text, name and generation to a snapshot; raises ConfigError. without_lapsed: what was compiled last, as a
    snapshot of this generation in which what lapsed counts as absent. build: a snapshot to stages. limits: those of
    the configuration compiled last. gauges: called before metrics are exported. listener: a bound socket, shared with
    the other workers. chain: this process's journal. want_keys: told of an issuer whose keys may be out of date.
    tls: how connections are taken by the configuration compiled last, None for plainly.
    """

    def __init__(
        self,
        compile_: Callable[[bytes, str, int], Snapshot],
        without_lapsed: Callable[[int], Snapshot],
        build: Callable[[Snapshot], Stages],
        limits: Callable[[], HttpLimits],
        make_gateway: Callable[[Stages, Keyring, HttpLimits], Gateway],
        gauges: Callable[[Gateway], None],
        listener: socket.socket,
        chain: str,
        want_keys: Callable[[str], None],
        tls: Callable[[], Listening | None],
    ) -> None:
        self._tls = tls
        self._trust = b""
        self._known = Known(want_keys)
        self._listener = listener
        self._chain = chain
        self._compile = compile_
        self._without_lapsed = without_lapsed
        self._build = build
        self._limits = limits
        self._make_gateway = make_gateway
        self._gauges = gauges
        self._keyring = Keyring(b"", {}, self._known)
        self._acceptor: Acceptor | None = None
        self.gateway: Gateway | None = None

    async def obey(self, order: Order) -> Report:
        """Carry out one order and say how it went."""
        if isinstance(order, ApplyConfig):
            return Applied(
                order.generation, self._apply(lambda: self._compile(order.text, order.name, order.generation))
            )
        if isinstance(order, EndLapsed):
            error = "nothing is in force"
            if self.gateway is not None:
                error = self._apply(lambda: self._without_lapsed(order.generation))
            return Applied(order.generation, error)
        if isinstance(order, ApplyKeys):
            entries = {row.id: (row.secret_hmac, principal_of(row)) for row in order.keys}
            self._swap(Keyring(order.pepper, entries, self._known))
            return Done()
        if isinstance(order, ApplyKeySets):
            self._known.sets = {one.issuer: one for one in order.sets}
            self._swap(self._keyring)
            return Done()
        if isinstance(order, AskMetrics):
            return Exported(order.ticket, self._export())
        if isinstance(order, Listen):
            self._listen()
            return Serving(self._chain)
        if isinstance(order, Stop) and self.gateway is not None:
            self.gateway.stop_calls(order)
        if isinstance(order, Drain):
            await self.drain(order.grace_s)
        return Done()

    def _swap(self, keyring: Keyring) -> None:
        self._keyring = keyring
        if self.gateway is not None:
            self.gateway.swap_keys(keyring)

    def _listen(self) -> None:
        """Start accepting. The socket is shared by all workers: the kernel hands each connection to one of them."""
        gateway = self.gateway
        if gateway is None:
            raise RuntimeError("a worker listens only after its first configuration")
        gateway.start()
        self._acceptor = Acceptor(
            self._listener, lambda: Connection(gateway), lambda: TlsConnection(gateway), self._tls, gateway.log
        )

    async def drain(self, grace_s: float) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        if self.gateway is not None:
            await self.gateway.drain(grace_s)

    def _apply(self, make: Callable[[], Snapshot]) -> str:
        """Puts what `make` compiles in force; why not, where it cannot be compiled."""
        try:
            stages = self._build(make())
        except ConfigError as error:
            return str(error)
        if self.gateway is None:
            self.gateway = self._make_gateway(stages, self._keyring, self._limits())
        else:
            self.gateway.swap(stages, self._limits())
        tls = self._tls()
        trust = tls.trust if tls is not None else b""
        if trust != self._trust:
            self._trust = trust
            self.gateway.end_certified()
        return ""

    def _export(self) -> bytes:
        if self.gateway is None:
            return b""
        self._gauges(self.gateway)
        return msgspec.msgpack.encode(self.gateway.stages.metrics.export())


def principal_of(row: VirtualKey) -> Principal:
    return Principal(
        key_id=row.id,
        tenant=row.tenant,
        team=row.team,
        workloads=frozenset(row.workloads) if row.workloads is not None else None,
        deployments=frozenset(row.deployments_granted),
        default_workload=row.default_workload,
        labels=labels_of(row.labels),
        expires_s=row.expires_ms // 1000 if row.expires_ms is not None else 0,
        budget_pico=int(row.budget_usd * PICO) if row.budget_usd is not None else None,
        apis=frozenset(row.apis) if row.apis is not None else None,
        models=frozenset(row.models) if row.models is not None else None,
        networks=tuple(map(ip_network, row.networks)) if row.networks is not None else None,
        criticality=CRITICALITIES.index(row.criticality) if row.criticality else 0,
        purse=row.purse,
    )
