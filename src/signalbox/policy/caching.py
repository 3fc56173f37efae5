"""From what a file says about a workload's cache to what a request reads of it."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import msgspec

from signalbox.config.schema_caching import Cache
from signalbox.core.caching import Caching
from signalbox.core.labels import LEVELS
from signalbox.core.snapshot import Deployment, Workload

# What says how often, how fast or how urgently is asked, and nothing about the answer.
_NOT_ABOUT_ANSWERS = frozenset(
    ("retries", "hedge_ns", "criticality", "spill_share_max", "rescue", "cache", "ttft_p95_ms", "labels", "choosing")
)


def caching(entry: Cache | None, workload: Workload, deployments: Iterable[Deployment]) -> Caching | None:
    """None where nothing is kept. `about` covers every other fact of the workload, guards included, and what its
    deployments are: after any of it has changed, nothing that was kept before is found."""
    if entry is None or not entry.exact_ttl_s:
        return None
    return Caching(
        exact_ttl_s=entry.exact_ttl_s,
        share=entry.share,
        level_max=LEVELS.index(entry.data_max),
        tags=tuple(entry.tags),
        safe_tools=frozenset(entry.safe_tools),
        time_dependent=entry.time_dependent,
        single_flight=entry.single_flight,
        about=_about(workload, deployments),
    )


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
