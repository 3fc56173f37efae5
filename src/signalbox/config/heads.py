"""Settings of strategy `tiered`: what stands in the file must fit together, and the heads that it names be whole."""

from __future__ import annotations

from itertools import pairwise

from signalbox.config.problems import Path, Problems
from signalbox.config.references import References
from signalbox.config.schema import Config
from signalbox.config.schema_tiering import Tiered
from signalbox.core.tiering import HEAD_BYTES_MAX, Head, read_head


def heads_of(config: Config, references: References, problems: Problems) -> dict[str, Head]:
    """By workload; what is wrong is put on record."""
    found: dict[str, Head] = {}
    for name, workload in config.workloads.items():
        path: Path = ("workloads", name, "tiered")
        if workload.tiered is None or not problems.clean(path):
            continue
        if workload.strategy != "tiered":
            problems.add(path, "is for strategy tiered", "Write `strategy: tiered`, or leave it out")
        _check(workload.tiered, path, problems)
        if workload.tiered.head is None:
            continue
        try:
            head = read_head(references.content(workload.tiered.head, HEAD_BYTES_MAX))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.add((*path, "head"), f"cannot be used: {reason}", "Write it with `signalbox router fit`")
            continue
        if head.near is not None and not workload.tiered.encoder:
            problems.add(
                (*path, "encoder"),
                "is needed by the head, which compares questions by meaning",
                "Write `encoder: true`, or fit the head without --encoder",
            )
            continue
        strange = [tier for tier in head.tiers if tier not in config.deployments]
        if strange:
            problems.add(
                (*path, "head"), f"was fitted for {strange[0]!r}, which is no deployment", "Fit it for the names here"
            )
        else:
            found[name] = head
    return found


def _check(settings: Tiered, path: Path, problems: Problems) -> None:
    if settings.strong_share is not None and settings.loss_share_max is not None:
        problems.add(
            (*path, "loss_share_max"), "stands beside strong_share: only one of them can decide", "Keep one of the two"
        )
    shares = settings.strong_share
    if isinstance(shares, list) and (not shares or any(before < after for before, after in pairwise(shares))):
        problems.add((*path, "strong_share"), "does not fall from tier to tier", "List shares from large to small")
