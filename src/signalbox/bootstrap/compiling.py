"""A configuration from text to what is put in force, in every process the same way."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgspec

from signalbox.bootstrap.clock import today
from signalbox.config.declared import Declared
from signalbox.config.load import load_text
from signalbox.control.checked import Checked
from signalbox.control.explain import Explainer
from signalbox.control.source import Text
from signalbox.core.errors import ConfigError
from signalbox.core.snapshot import Snapshot, Workload
from signalbox.core.tiering import Near
from signalbox.gateway.tls import Listening, listening
from signalbox.guard.room import GuardRoom
from signalbox.policy import compiling
from signalbox.policy.check import counts, due
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.prices import held_gpus
from signalbox.pricing.catalogue import changes_after, rates
from signalbox.pricing.tariff import published

JUST_S = 5.0
_just_compiled: list[tuple[tuple[bytes, str, int], float, Compiled]] = []


class Compiled(msgspec.Struct, frozen=True):
    """A configuration ready to be put in force."""

    declared: Declared
    snapshot: Snapshot
    tls: Listening | None = None


def compile_text(content: bytes, name: str, generation: int) -> Compiled:
    """Text to snapshot, in every process the same way. Raises ConfigError with all findings.

    A start and the supervisor and worker of a single process compile one text right after each other: only the first
    time costs. The secrets that it names may change between generations, so what was compiled is not kept for longer
    than that."""
    key = (content, name, generation)
    if _just_compiled:
        last_key, at_s, compiled = _just_compiled[0]
        if last_key == key and time.monotonic() - at_s < JUST_S:
            return compiled
    compiled = compile_declared(load_text(content, name), generation)
    _just_compiled[:] = [(key, time.monotonic(), compiled)]
    return compiled


def compile_declared(declared: Declared, generation: int) -> Compiled:
    """Raises ConfigError with all findings."""
    snapshot = compile_snapshot(declared, generation, today(), rates, published, changes_after)
    GuardRoom(snapshot)  # what guards cannot work with is told now
    tls = declared.config.server.tls
    if tls is None:
        return Compiled(declared, snapshot)
    return Compiled(declared, snapshot, listening(tls, declared.where("server.tls")))


def without_lapsed(compiled: Compiled, generation: int) -> Compiled:
    """What was compiled before, as what lapsed by today counts as absent. Unlike compiling anew it reads no file."""
    declared = compiled.declared
    snapshot = compiling.without_lapsed(compiled.snapshot, declared.config, generation, today())
    return msgspec.structs.replace(compiled, snapshot=snapshot)


def check_encoder(declared: Declared, snapshot: Snapshot, encoder: str) -> None:
    """Raises ConfigError for heads and scorers that compare questions by the vectors of another encoder than this
    one."""
    wrong: list[str] = []
    for workload in snapshot.workloads.values():
        for place, near in _compared(workload):
            if near.encoder != encoder:
                path = f"workloads.{workload.name}.{place}"
                wrong.append(
                    f"{declared.where(path)}: {path}: compares questions by {near.encoder}, and caches.encoder is"
                    f" {encoder}. Fit it again with --encoder, or set the folder of that encoder."
                )
    if wrong:
        raise ConfigError(wrong)


def _compared(workload: Workload) -> Iterator[tuple[str, Near]]:
    """What of a workload compares questions by meaning, and where it is declared."""
    if workload.tiered is not None and workload.tiered.head is not None and workload.tiered.head.near is not None:
        yield "tiered.head", workload.tiered.head.near
    if (
        workload.cascade is not None
        and workload.cascade.scorer is not None
        and workload.cascade.scorer.near is not None
    ):
        yield "cascade.scorer", workload.cascade.scorer.near


def explainer_for(declared: Declared, generation: int = 1) -> Explainer:
    """Raises ConfigError with all findings."""
    return Explainer(declared, compile_declared(declared, generation).snapshot)


def checked(text: Text, generation: int) -> Checked:
    """What the supervisor has to know of a configuration. Raises ConfigError with all findings."""
    compiled = compile_text(text.content, text.name, generation)
    declared, snapshot = compiled.declared, compiled.snapshot
    tls = declared.config.server.tls
    found = due(declared, snapshot)
    return Checked(
        snapshot.version,
        declared.config.server.shutdown_grace_s,
        snapshot.stale_on,
        declared.files,
        tuple(f"{each.where}: {each.message}" for each in found),
        {about: count for about, count in counts(found).items() if about not in ("error", "warning")},
        snapshot.budgets,
        declared.config.telemetry,
        declared.config.alerts,
        snapshot.issuers,
        gpus={
            name: (target.environment, target.model, steps)
            for name, target in declared.deployments.items()
            if (steps := held_gpus(name, target, declared.config))
        },
        sign_in=declared.config.sign_in,
        certificate_file=tls.certificate_file if tls is not None else "",
        ends_revoked=declared.config.server.revoked_keys == "end",
    )
