"""Holders of client certificates as they are declared: what is wrong with them, and what they compile to."""

from __future__ import annotations

import re
from ipaddress import ip_network

from signalbox.config.issuers import check_granted
from signalbox.config.problems import Path, Problems
from signalbox.config.schema import Config
from signalbox.core.issuers import Holder
from signalbox.core.labels import labels_of

BELOW = "/*"
_PREFIX_MIN = {4: 8, 6: 32}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-)+-~]+")
_DNS = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")


def check_certificates(config: Config, problems: Problems) -> None:
    tls = config.server.tls
    if tls is not None and tls.client_certificates == "required" and tls.client_ca_file is None:
        at = ("server", "tls", "client_certificates")
        problems.add(at, "no authority is named whose certificates are taken", "Add client_ca_file")
    _check_proxies(config, problems)
    seen: dict[str, str] = {}
    for name, entry in config.certificates.items():
        path: Path = ("certificates", name)
        if (tls is None or tls.client_ca_file is None) and not config.server.trusted_proxies:
            problems.add(path, "no client certificate is ever asked for", "Add server.tls with client_ca_file")
        if not entry.uris and not entry.names:
            problems.add(path, "says of no certificate that it is meant", "Add uris or names")
        for position, uri in enumerate(entry.uris):
            if not _URI.fullmatch(uri.removesuffix(BELOW)):
                problems.add((*path, "uris", position), "is not a URI", "Write spiffe://domain/path, or that and /*")
        for position, dns in enumerate(entry.names):
            if not _DNS.fullmatch(dns):
                problems.add((*path, "names", position), "is not a DNS name", "Write it in full and in lower case")
        for text in (*entry.uris, *entry.names):
            before = seen.setdefault(text, name)
            if before != name:
                problems.add(path, f"{text[:64]!r} is {before!r} already", "Name it once")
        check_granted(path, entry.workloads, entry.data, config, problems)


def _check_proxies(config: Config, problems: Problems) -> None:
    for position, text in enumerate(config.server.trusted_proxies):
        at = ("server", "trusted_proxies", position)
        try:
            network = ip_network(text)
        except ValueError:
            problems.add(at, "is no address and no network", "Write 10.0.0.5 or 10.0.0.0/24, without bits of a host")
            continue
        if network.prefixlen < _PREFIX_MIN[network.version]:
            problems.add(at, "is a network of the whole world, in which anybody may say who they are", "Narrow it")


def holders_of(config: Config) -> tuple[Holder, ...]:
    return tuple(
        Holder(
            name=name,
            uris=tuple(entry.uris),
            names=tuple(entry.names),
            tenant=entry.tenant,
            team=entry.team,
            workloads=tuple(entry.workloads) or None,
            labels=labels_of(entry.data),
        )
        for name, entry in config.certificates.items()
    )
