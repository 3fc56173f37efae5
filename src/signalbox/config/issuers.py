"""Token issuers as they are declared: what is wrong with them, and what they compile to."""

from __future__ import annotations

from signalbox.config.jwks import public_keys
from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.schema import Config
from signalbox.core.issuers import Issuer
from signalbox.core.labels import LEVELS, TAG_BIT, labels_of


def check_issuers(config: Config, problems: Problems) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, entry in config.issuers.items():
        path: Path = ("issuers", name)
        before = seen.setdefault((entry.issuer, entry.audience), name)
        if before != name:
            problems.add(path, f"has the issuer and audience of {before!r}", "Keep one entry")
        try:
            public_keys(entry.jwks.reveal())
        except ValueError as error:
            problems.add((*path, "jwks"), str(error), "Write file: and the path of the issuer's JSON Web Key Set")
        for position, workload in enumerate(entry.workloads):
            if workload not in config.workloads:
                there = did_you_mean(workload, config.workloads)
                problems.add((*path, "workloads", position), f"there is no workload {workload[:64]!r}", there)
        for position, label in enumerate(entry.data):
            if label not in LEVELS and label not in TAG_BIT:
                there = did_you_mean(label, (*LEVELS, *TAG_BIT))
                problems.add((*path, "data", position), f"there is no data class {label[:64]!r}", there)


def issuers_of(config: Config) -> tuple[Issuer, ...]:
    return tuple(
        Issuer(
            name=name,
            issuer=entry.issuer,
            audience=entry.audience,
            keys=public_keys(entry.jwks.reveal()),
            tenant=entry.tenant,
            team=entry.team,
            tenant_claim=entry.tenant_claim,
            team_claim=entry.team_claim,
            workloads_claim=entry.workloads_claim,
            workloads=tuple(entry.workloads) or None,
            labels=labels_of(entry.data),
            parties=frozenset(entry.authorized_parties),
            leeway_s=round(entry.leeway_s),
            lifetime_s_max=round(entry.lifetime_max_s),
        )
        for name, entry in config.issuers.items()
    )
