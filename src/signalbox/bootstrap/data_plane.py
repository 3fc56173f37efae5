"""The data plane: everything that lives as long as one of its processes, put together."""

from __future__ import annotations

import os
import random
import socket
import sys
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from random import Random

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.compiling import Compiled, check_encoder, compile_text, without_lapsed
from signalbox.bootstrap.storage import open_store
from signalbox.bootstrap.tuning import tune
from signalbox.cache.exact import KeptAnswers
from signalbox.cache.shelf import secret_from
from signalbox.config import schema_guards, schema_server, schema_telemetry
from signalbox.control.links import LendTo, Want
from signalbox.control.state import StateDir
from signalbox.control.treasury import Treasury
from signalbox.core.records import ConfigLoaded
from signalbox.core.secret import Secret
from signalbox.core.snapshot import Snapshot, Workload
from signalbox.detectors.scan import Scanner
from signalbox.embedding.encoding import Encoding
from signalbox.gateway.app import Gateway
from signalbox.gateway.auth import Keyring
from signalbox.gateway.http_limits import HttpLimits
from signalbox.gateway.idempotency import Answers
from signalbox.gateway.overload import Bounds
from signalbox.gateway.tls import Listening
from signalbox.gateway.worker import Worker
from signalbox.guard.room import GuardRoom
from signalbox.guard.shared_vault import StoreVault
from signalbox.guard.vault import FileVault
from signalbox.ledger.content import Spool
from signalbox.ledger.estimate import Metering
from signalbox.ledger.journal import Journal
from signalbox.ledger.open import OpenAttempts
from signalbox.pipeline.behind import Behind
from signalbox.pipeline.dispatch import Dispatcher
from signalbox.pipeline.meaning import TRIALS_MAX
from signalbox.pipeline.salting import salt_from
from signalbox.pipeline.shadowing import COMPARISONS_MAX
from signalbox.pipeline.stages import Stages
from signalbox.pipeline.waking import Wakes
from signalbox.pipeline.watch import Watch
from signalbox.policy.budgets import Budgets
from signalbox.policy.caching import wanted
from signalbox.policy.classify import Classifier
from signalbox.policy.contents import Profile
from signalbox.policy.interlock import Interlock
from signalbox.policy.limits import CRITICALITIES, Limits
from signalbox.policy.owners import Owners
from signalbox.policy.purse import Purse
from signalbox.policy.repeats import Repeats
from signalbox.policy.sticky import Conversations, key_from
from signalbox.policy.stops import Stops
from signalbox.routing.difficulty.labels import LabelBook
from signalbox.routing.fleet import Fleets
from signalbox.routing.router import Router
from signalbox.routing.shadows import Shadows
from signalbox.routing.standing import Standing
from signalbox.routing.tiering import Tiering
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics
from signalbox.telemetry.observer import Observer, Observing
from signalbox.telemetry.process import usage_now
from signalbox.upstream.transport import Transport

# Requests go first while words to look for are compiled.
READY_NICE = 10


class DataPlane:
    """What lives as long as one data-plane process, and the worker over it."""

    def __init__(
        self,
        state: StateDir,
        chain: str,
        log: Log,
        lend: LendTo | None = None,
        metrics: Metrics | None = None,
        spans: socket.socket | None = None,
        want_keys: Want = lambda issuer: None,
    ) -> None:
        """lend: from whom to have leases on budgets; without it this process lends to itself. metrics: where to count,
        for a process apart from its supervisor. spans: the way to what exports traces. want_keys: told of an issuer
        whose keys may be out of date."""
        self._want_keys = want_keys
        self._tls: Listening | None = None
        self._compiled: Compiled | None = None
        self._state = state
        self._chain = chain
        self._log = log
        self._treasury: Treasury | None = None
        if lend is None:
            self._treasury = Treasury(lambda: open_store(state), lambda: 1, self.recall)
            lend = self._treasury.lend
        self.purse = Purse(partial(lend, chain), time.monotonic)
        self._server = schema_server.Server()
        self._telemetry = schema_telemetry.Telemetry()
        self._spans = spans
        self._observer: Observer | None = None
        self._journal: Journal | None = None
        self._open: OpenAttempts | None = None
        self._durable = False
        self._conversations: Conversations | None = None
        self._pepper = state.pepper()
        self._key = key_from(self._pepper)
        self._salt = salt_from(self._pepper)
        self._repeats = Repeats(state.repeats, self._key, time.time)
        self._owners = Owners(state.owners, self._key, now_ms)
        self._classifier: Classifier | None = None
        self._vault: FileVault | None = None
        self._shared: StoreVault | None = None
        self._store: Secret | None = None
        self._spool: Spool | None = None
        self._transport = Transport()
        self._limits = Limits()
        self._metering = Metering()
        self._metrics = metrics or Metrics()
        self._apart = metrics is not None
        self._fleets = Fleets(random.random)
        self._standing = Standing()
        self._cache = KeptAnswers(state.cache, secret_from(self._pepper), now_ms, self._of_shared_cache)
        self._encoding = Encoding()
        self._shadows = Shadows(LabelBook(state.labels, state.pepper()), random.random)
        self._comparisons = Behind(COMPARISONS_MAX)
        self._trials = Behind(TRIALS_MAX)
        self._stops = Stops()
        self._watch = Watch(self._transport)
        self._wakes = Wakes(self._transport)

    def worker(self, listener: socket.socket) -> Worker:
        return Worker(
            self._compile,
            self._end_lapsed,
            self._stages,
            self._http_limits,
            self._gateway,
            self._gauges,
            listener,
            self._chain,
            self._want_keys,
            lambda: self._tls,
        )

    @property
    def grace_s(self) -> float:
        """Time for open calls to end when stopping."""
        return self._server.shutdown_grace_s

    def recall(self, accounts: list[str]) -> None:
        """What this process does not use of these budgets goes back."""
        self.purse.recall(accounts)

    async def close(self) -> None:
        if self._observer is not None:
            self._observer.flush()
        await self._watch.stop()
        await self._trials.stop()
        await self._cache.stop()
        await self._comparisons.stop()
        await self._wakes.stop()
        await self._transport.close()
        await self.purse.close()
        if self._shared is not None:
            await self._shared.close()
        if self._treasury is not None:
            self._treasury.close()
        if self._open is not None:
            self._open.stop()
        if self._journal is not None:
            await self._journal.close()
        if self._conversations is not None:
            self._conversations.close()
        self._cache.close()
        self._encoding.close()
        self._owners.close()
        self._repeats.close()

    def _compile(self, content: bytes, name: str, generation: int) -> Snapshot:
        compiled = compile_text(content, name, generation)
        self._server = compiled.declared.config.server
        self._store = compiled.declared.config.store
        self._tls = compiled.tls
        caches = compiled.declared.config.caches
        self._cache.resize(caches.memory_bytes_max, caches.disk_bytes_max)
        self._cache.share(compiled.declared.shared_cache)
        self._telemetry = compiled.declared.config.telemetry
        folder = Path(caches.encoder) if caches.encoder else None
        self._cache.semantic.adopt(wanted(compiled.snapshot), folder, caches.memory_bytes_max)
        if any(_compares(workload) for workload in compiled.snapshot.workloads.values()):
            check_encoder(compiled.declared, compiled.snapshot, self._encoding.adopt(folder))
        if self._journal is None:
            settings = compiled.declared.config.journal
            self._durable = settings.fsync == "always"
            self._journal = Journal(
                self._state.journal,
                self._chain,
                fsync=settings.fsync,
                fsync_interval_ms=settings.fsync_interval_ms,
                segment_bytes_max=settings.segment_bytes_max,
            )
            self._open = OpenAttempts(self._journal, now_ms)
            self._open.start()
        self._compiled = compiled
        return compiled.snapshot

    def _end_lapsed(self, generation: int) -> Snapshot:
        assert self._compiled is not None
        self._compiled = without_lapsed(self._compiled, generation)
        return self._compiled.snapshot

    def _stages(self, snapshot: Snapshot) -> Stages:
        assert self._journal is not None
        assert self._open is not None
        classifier = self._classifier_for(snapshot)
        fleet = self._fleets.adopt(snapshot)
        self._limits.resize(self._server.calls_max)
        self._journal.append_soon(ConfigLoaded(time_ms=now_ms(), version=snapshot.version))
        guards = GuardRoom(snapshot, self._vault_for(snapshot), self._shared_for(snapshot))
        _make_ready(guards.scanners)
        stages = Stages(
            snapshot=snapshot,
            router=Router(snapshot),
            tiering=Tiering(snapshot, self._standing, random.random),
            fleet=fleet,
            wakes=self._wakes,
            interlock=Interlock(snapshot, classifier),
            classifier=classifier,
            limits=self._limits,
            owners=self._owners,
            repeats=self._repeats,
            budgets=Budgets(snapshot, self.purse, now_ms),
            guards=guards,
            errands=Dispatcher,
            journal=self._journal,
            open=self._open,
            transport=self._transport,
            metering=self._metering,
            metrics=self._metrics,
            cache=self._cache,
            shadows=self._shadows,
            comparisons=self._comparisons,
            trials=self._trials,
            stops=self._stops,
            encoding=self._encoding,
            observer=self._observer_for(self._telemetry),
            salt=self._salt,
            durable=self._durable,
            now_ns=time.perf_counter_ns,
            time_ms=now_ms,
            spool=self._spool_for(snapshot),
        )
        self._watch.adopt(stages)
        if self._cache.shared is not None:
            self._cache.shared.begin()
        return stages

    def _spool_for(self, snapshot: Snapshot) -> Spool | None:
        """Where captured content waits for the shipper, made when a workload first wants any."""
        if self._spool is None and any(workload.capture_bytes for workload in snapshot.workloads.values()):
            self._spool = Spool(self._state.content, self._pepper)
        return self._spool

    def _vault_for(self, snapshot: Snapshot) -> FileVault | None:
        """Where pseudonyms are kept, made when a workload first needs it."""
        uses = [use.name for workload in snapshot.workloads.values() for use in workload.guards]
        if self._vault is None and "pseudonymise" in uses:
            self._vault = FileVault(self._state.pseudonyms, self._pepper, durable=self._durable)
        return self._vault

    def _of_shared_cache(self, what: str, why: str) -> None:
        if why:
            self._log.warning(what, reason=why)
        else:
            self._log.info(what, reason="no longer")

    def _shared_for(self, snapshot: Snapshot) -> StoreVault | None:
        """What machines share of them, opened in a thread of its own when a call first needs it."""
        uses = [use.options for workload in snapshot.workloads.values() for use in workload.guards]
        wanted = any(isinstance(options, schema_guards.Pseudonymise) and options.shared for options in uses)
        if self._shared is None and wanted:
            self._shared = StoreVault(lambda: open_store(self._state, self._store), self._state.pepper())
        return self._shared

    def _classifier_for(self, snapshot: Snapshot) -> Classifier:
        """The process's one classifier, ready for a snapshot."""
        if self._classifier is None or self._conversations is None:
            self._conversations = Conversations(self._state.conversations, self._key, durable=self._durable)
            self._classifier = Classifier(self._conversations, self._key, now_ms)
        self._conversations.lifetime_s = snapshot.conversation_lifetime_s
        _make_ready(self._classifier.adopt(snapshot))
        return self._classifier

    def _observer_for(self, settings: schema_telemetry.Telemetry) -> Observer:
        """What tells of single calls from now on; what the one before still had goes its way."""
        otlp = settings.otlp
        asked = Observing(log=settings.log_requests)
        if otlp is not None and otlp.traces and self._spans is not None:
            asked = Observing(settings.log_requests, True, otlp.sample, otlp.propagate)
        if self._observer is not None:
            self._observer.flush()
        random = Random()  # noqa: S311 (identifiers of traces are no secrets)
        self._observer = Observer(asked, self._spans, self._log, self._metrics, random, time.perf_counter_ns)
        return self._observer

    def _http_limits(self) -> HttpLimits:
        server = self._server
        return HttpLimits(
            header_bytes_max=server.header_bytes_max,
            headers_max=server.headers_max,
            body_bytes_max=server.body_bytes_max,
            head_s=server.header_timeout_s,
            body_idle_s=server.body_timeout_s,
            keep_alive_s=server.keepalive_s,
            write_s=server.write_timeout_s,
            overload=Bounds(server.loop_lag_ms / 1000, server.memory_bytes_max),
        )

    def _gateway(self, stages: Stages, keyring: Keyring, limits: HttpLimits) -> Gateway:
        rest = tune()
        return Gateway(stages, keyring, limits, self._log, Answers(self._state.idempotency, time.time), rest)

    def _gauges(self, gateway: Gateway) -> None:
        metrics = self._metrics
        metrics.set(("signalbox_in_flight",), self._limits.in_flight)
        metrics.set(("signalbox_client_connections",), len(gateway.connections))
        metrics.set(("signalbox_loop_lag_seconds",), gateway.watch.lag_s)
        for name, shed in zip(CRITICALITIES, self._limits.shed, strict=True):
            if shed:
                metrics.set(("signalbox_shed_total", name), shed)
        now_ns = time.perf_counter_ns()
        for name, group in self._fleets.groups():
            out = sum(not replica.usable(now_ns, resting=True) for replica in group.replicas)
            metrics.set(("signalbox_replicas_out_of_use", name), len(group.replicas) if group.cold(now_ns) else out)
        for key, value in self._cache.gauges():
            metrics.set(key, value)
        pools = self._transport.stats()
        for state in ("idle", "in_flight"):
            metrics.set(("signalbox_upstream_connections", state), sum(getattr(pool, state) for pool in pools))
        if self._journal is not None:
            stats = self._journal.stats()
            metrics.set(("signalbox_journal_bytes_total",), stats.bytes_written)
            metrics.set(("signalbox_journal_errors_total",), stats.refused)
            metrics.set(("signalbox_journal_queued_bytes",), stats.queued_bytes)
            metrics.set(("signalbox_journal_sync_errors_total",), stats.fsync_errors)
            metrics.set(("signalbox_journals_unhealthy",), int(not self._journal.healthy()))
            metrics.set(("signalbox_journal_sync_seconds_max",), stats.fsync_ms_max / 1000)
        if self._apart:
            metrics.set(("signalbox_log_lines_dropped_total",), self._log.dropped)
            used = usage_now()
            metrics.set(("signalbox_memory_bytes", "workers"), used.memory_bytes)
            metrics.set(("signalbox_cpu_seconds_total", "workers"), used.cpu_s)


def _make_ready(lookers: Sequence[Profile | Scanner]) -> None:
    """A quarter of a second of CPU for each that no request and no start need wait for."""
    for one in lookers:
        one.postpone()
    if lookers:
        threading.Thread(target=_ready, args=(lookers,), daemon=True).start()


def _ready(lookers: Sequence[Profile | Scanner]) -> None:
    """In a thread of its own, behind requests."""
    if sys.platform == "linux":  # where a thread can be nicer than its process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), READY_NICE)
    for one in lookers:
        one.ready()


def _compares(workload: Workload) -> bool:
    """Whether an encoder is to be at hand for it, now or to label rows with."""
    by_tier, by_answer = workload.tiered, workload.cascade
    return (by_tier is not None and by_tier.encoder) or (by_answer is not None and by_answer.compares)
