"""Scorers of answers that cascades name: files that `signalbox router fit-answers` wrote."""

from __future__ import annotations

from signalbox.config.problems import Path, Problems
from signalbox.config.references import References
from signalbox.config.schema import Config
from signalbox.core.choosing import SCORER_BYTES_MAX, Scorer, read_scorer


def scorers_of(config: Config, references: References, problems: Problems) -> dict[str, Scorer]:
    """By workload; what is wrong is put on record."""
    found: dict[str, Scorer] = {}
    for name, workload in config.workloads.items():
        path: Path = ("workloads", name, "cascade", "scorer")
        if workload.cascade is None or workload.cascade.scorer is None or not problems.clean(path):
            continue
        try:
            found[name] = read_scorer(references.content(workload.cascade.scorer, SCORER_BYTES_MAX))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            problems.add(path, f"cannot be used: {reason}", "Write it with `signalbox router fit-answers`")
            continue
        if found[name].near is not None and not workload.cascade.encoder:
            problems.add(
                (*path[:-1], "encoder"),
                "is needed by the scorer, which compares questions by meaning",
                "Write `encoder: true`, or fit the scorer without --encoder",
            )
    return found
