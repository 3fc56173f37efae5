"""From what a file says about a workload's cache to what a request reads of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from signalbox.config.schema_caching import Cache
from signalbox.core.caching import Caching, Semantic
from signalbox.core.labels import LEVELS
from signalbox.core.snapshot import Deployment, Snapshot, Workload

# What says how often, how fast or how urgently is asked, and nothing about the answer.
_NOT_ABOUT_ANSWERS = frozenset(
    (
        *("retries", "hedge_ns", "criticality", "spill_share_max", "rescue", "cache", "ttft_p95_ms", "labels"),
        *("choosing", "shadow"),
    )
)


def caching(entry: Cache | None, workload: Workload, deployments: Iterable[Deployment]) -> Caching | None:
    """None where nothing is kept. `about` covers every other fact of the workload, guards included, and what its
    deployments are: after any of it has changed, nothing that was kept before is found."""
    if entry is None or (not entry.exact_ttl_s and entry.semantic is None):
        return None
    semantic = entry.semantic
    return Caching(
        exact_ttl_s=entry.exact_ttl_s,
        share=entry.share,
        level_max=LEVELS.index(entry.data_max),
        tags=tuple(entry.tags),
        safe_tools=frozenset(entry.safe_tools),
        time_dependent=entry.time_dependent,
        single_flight=entry.single_flight and entry.exact_ttl_s > 0,
        semantic=None
        if semantic is None
        else Semantic(
            ttl_s=semantic.ttl_s,
            max_error=semantic.error_share_max,
            embedding=semantic.embedding or "",
            judge=semantic.judge or "",
            audit_share=semantic.audit_share,
            entries_max=semantic.questions_max,
            embed_chars_max=semantic.embed_chars_max,
        ),
        about=_about(workload, deployments),
    )


def wanted(snapshot: Snapshot) -> dict[str, tuple[Semantic, str]]:
    """The workloads with a semantic cache: their settings, and what names the maker of their vectors where it is a
    deployment; another model under the same name is another maker."""
    found: dict[str, tuple[Semantic, str]] = {}
    for name, workload in snapshot.workloads.items():
        if workload.cache is not None and workload.cache.semantic is not None:
            semantic = workload.cache.semantic
            maker = snapshot.deployment_by_name.get(semantic.embedding)
            found[name] = (semantic, f"{maker.name} {maker.model}" if maker is not None else "")
    return found


def _about(workload: Workload, deployments: Iterable[Deployment]) -> str:
    used = [
        (one.name, one.model, one.protocol, one.environment, one.fine_tune_of, sorted(one.apis))
        for one in deployments
        if not workload.placements or one.index in workload.placements
    ]
    shapes = {name: getattr(workload, name) for name in workload.__struct_fields__ if name not in _NOT_ABOUT_ANSWERS}
    # Placements by name, above: positions shift when a deployment is added anywhere.
    shapes["placements"] = [one[0] for one in used]
    return blake2b(
        msgspec.json.encode((shapes, used), order="deterministic", enc_hook=repr), digest_size=16
    ).hexdigest()
