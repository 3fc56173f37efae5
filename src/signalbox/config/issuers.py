"""Token issuers as they are declared: what is wrong with them, and what they compile to."""

from __future__ import annotations

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.jwks import public_keys
from signalbox.config.problems import Path, Problems, did_you_mean
from signalbox.config.schema import Config
from signalbox.config.schema_issuers import Issuer as Entry
from signalbox.core.issuers import Address, Issuer, PublicKey
from signalbox.core.labels import LEVELS, TAG_BIT, labels_of


def check_issuers(config: Config, problems: Problems) -> None:
    seen: dict[tuple[str, str], str] = {}
    for name, entry in config.issuers.items():
        path: Path = ("issuers", name)
        before = seen.setdefault((entry.issuer, entry.audience), name)
        if before != name:
            problems.add(path, f"has the issuer and audience of {before!r}", "Keep one entry")
        _check_keys(path, entry, problems)
        check_granted(path, entry.workloads, entry.data, config, problems)


def _check_keys(path: Path, entry: Entry, problems: Problems) -> None:
    if (entry.jwks is None) == (entry.jwks_url is None):
        problems.add(path, "needs either `jwks` or `jwks_url`", "Say where its public keys are, in one way")
    if entry.jwks_url is not None:
        check_address((*path, "jwks_url"), entry.jwks_url, problems)
    if entry.jwks is not None:
        try:
            public_keys(entry.jwks.reveal())
        except ValueError as error:
            problems.add((*path, "jwks"), str(error), "Write file: and the path of the issuer's JSON Web Key Set")


def check_address(path: Path, url: str, problems: Problems) -> None:
    """What keys and identities are fetched from is authentic or it is worth nothing: only this machine may be asked
    without TLS."""
    try:
        origin = origin_of(url.partition("?")[0], private=None, ca_file=None, proxy=None)
    except AddressProblem as problem:
        problems.add(path, problem.what, problem.fix)
        return
    if origin.scheme != "https" and not is_here(origin.host):
        problems.add(path, "is fetched without TLS, so that anybody on the way could answer", "Begin it with https://")


def is_here(host: str) -> bool:
    """Whether a host is this machine, as far as its name alone says."""
    return host in ("localhost", "127.0.0.1", "::1")


def check_granted(path: Path, workloads: list[str], data: list[str], config: Config, problems: Problems) -> None:
    """What an identity that comes from outside is given."""
    for position, workload in enumerate(workloads):
        if workload not in config.workloads:
            there = did_you_mean(workload, config.workloads)
            problems.add((*path, "workloads", position), f"there is no workload {workload[:64]!r}", there)
    for position, label in enumerate(data):
        if label not in LEVELS and label not in TAG_BIT:
            there = did_you_mean(label, (*LEVELS, *TAG_BIT))
            problems.add((*path, "data", position), f"there is no data class {label[:64]!r}", there)


def issuers_of(config: Config) -> tuple[Issuer, ...]:
    return tuple(
        Issuer(
            name=name,
            issuer=entry.issuer,
            audience=entry.audience,
            keys=_stated_keys(entry),
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
            address=_address(entry),
            refresh_s=round(entry.jwks_refresh_s),
            keys_age_s_max=round(entry.jwks_age_max_s),
        )
        for name, entry in config.issuers.items()
    )


def _stated_keys(entry: Entry) -> tuple[PublicKey, ...]:
    return public_keys(entry.jwks.reveal()) if entry.jwks is not None else ()


def _address(entry: Entry) -> Address | None:
    if entry.jwks_url is None:
        return None
    return Address(entry.jwks_url, entry.allow_private, entry.ca_file)
