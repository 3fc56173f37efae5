"""What one request needs besides itself: what lives as long as the process, and what lives as long as a snapshot."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from signalbox.cache.exact import KeptAnswers
from signalbox.core.ports import Dispatch, Journal
from signalbox.core.snapshot import Snapshot
from signalbox.embedding.encoding import Encoding
from signalbox.guard.room import GuardRoom
from signalbox.ledger.content import Spool
from signalbox.ledger.estimate import Metering
from signalbox.ledger.open import OpenAttempts
from signalbox.pipeline.behind import Behind
from signalbox.pipeline.salting import Salt
from signalbox.pipeline.waking import Wakes
from signalbox.policy.budgets import Budgets
from signalbox.policy.classify import Classifier
from signalbox.policy.interlock import Interlock
from signalbox.policy.limits import Limits
from signalbox.policy.owners import Owners
from signalbox.policy.repeats import Repeats
from signalbox.policy.stops import Stops
from signalbox.routing.fleet import Fleet
from signalbox.routing.router import Router
from signalbox.routing.shadows import Shadows
from signalbox.routing.tiering import Tiering
from signalbox.telemetry.metrics import Metrics
from signalbox.telemetry.observer import Observer
from signalbox.upstream.transport import Transport


class Stages(msgspec.Struct, frozen=True):
    """snapshot, router, fleet, budgets, guards and interlock change together when the configuration does; the rest is
    the process's own.

    errands: makes what sends model calls of our own. observer: what tells of single calls. comparisons, trials: what
    goes on behind answers, for shadow slices and for the semantic cache's judges. durable: an attempt is on the disk,
    not only in the page cache, before its first byte leaves. now_ns: a monotonic clock. time_ms: Unix milliseconds.
    spool: where captured content goes, while a workload wants any.
    """

    snapshot: Snapshot
    router: Router
    tiering: Tiering
    fleet: Fleet
    wakes: Wakes
    interlock: Interlock
    classifier: Classifier
    limits: Limits
    owners: Owners
    repeats: Repeats
    budgets: Budgets
    guards: GuardRoom
    errands: Callable[[Stages], Dispatch]
    journal: Journal
    open: OpenAttempts
    transport: Transport
    metering: Metering
    metrics: Metrics
    observer: Observer
    cache: KeptAnswers
    shadows: Shadows
    comparisons: Behind
    trials: Behind
    stops: Stops
    encoding: Encoding
    salt: Salt
    durable: bool
    now_ns: Callable[[], int]
    time_ms: Callable[[], int]
    spool: Spool | None = None
