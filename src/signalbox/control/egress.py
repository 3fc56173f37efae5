"""Everything that an installation connects to by its configuration: what a firewall has to let through, and no more."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.declared import Declared
from signalbox.core.snapshot import Origin, Snapshot

_STORE_PORT = 5432
Resolve = Callable[[str], list[str]]


class Egress(msgspec.Struct, frozen=True, order=True):
    """One place that is connected to. why: which parts of the configuration need it."""

    host: str
    port: int
    why: tuple[str, ...]


def egress(declared: Declared, snapshot: Snapshot) -> list[Egress]:
    """By host and port. Behind a proxy only the proxy is connected to."""
    found: dict[tuple[str, int], set[str]] = {}

    def add(host: str, port: int, why: str) -> None:
        found.setdefault((host.strip("[]"), port), set()).add(why)

    for deployment in snapshot.deployments:
        for origin in deployment.replicas:
            add(*_dialled(origin), f"deployment {deployment.name}")
    config = declared.config
    if config.store is not None:
        for host, port in _store_hosts(config.store.reveal()):
            add(host, port, "store")
    shared = declared.shared_cache
    if shared is not None and not shared.path:
        add(shared.host, shared.port, "caches.valkey")
    otlp = config.telemetry.otlp
    told = [("telemetry.otlp", otlp.endpoint)] if otlp is not None else []
    told += [(f"alerts.webhooks[{index}]", hook.url) for index, hook in enumerate(config.alerts.webhooks)]
    told += [(f"issuers.{name}", issuer.jwks_url) for name, issuer in config.issuers.items() if issuer.jwks_url]
    if config.ledger.anchor is not None:
        told.append(("ledger.anchor", config.ledger.anchor.url))
    if config.sign_in.oidc is not None:
        told.append(("sign_in.oidc", config.sign_in.oidc.issuer))
    for why, url in told:
        try:
            origin = origin_of(url.partition("?")[0], private=None, ca_file=None, proxy=None)
        except AddressProblem:
            continue  # nothing will be sent there either
        add(origin.host, origin.port, why)
    return [Egress(host, port, tuple(sorted(why))) for (host, port), why in sorted(found.items())]


def _dialled(origin: Origin) -> tuple[str, int]:
    if origin.proxy is not None:
        proxy = urlsplit(origin.proxy)
        return proxy.hostname or "", proxy.port or 80
    return origin.host, origin.port


def _store_hosts(url: str) -> list[tuple[str, int]]:
    """Where a database is, as libpq reads its URL: several hosts with commas, or in the query. A socket is nowhere."""
    address, _, options = url.partition("://")[2].partition("?")
    query = dict(parse_qsl(options))
    written = address.partition("/")[0].rpartition("@")[2].split(",")
    pairs = [_host_and_port(each) for each in written if each]
    hosts = query["host"].split(",") if "host" in query else [unquote(host) for host, _ in pairs]
    ports = query["port"].split(",") if "port" in query else [port for _, port in pairs]
    if len(ports) == 1:
        ports *= len(hosts)
    numbers = [int(port) if port.isdecimal() else _STORE_PORT for port in ports] or [_STORE_PORT] * len(hosts)
    return [
        (host, port) for host, port in zip(hosts, numbers, strict=False) if host and not host.startswith(("/", "@"))
    ]


def _host_and_port(text: str) -> tuple[str, str]:
    """Of `host:port`, `host` or `[address]:port`."""
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and not port.endswith("]") else (text, "")


def helm_values(places: Iterable[Egress], resolve: Resolve | None) -> dict[str, object]:
    """The `networkPolicy` section of the chart's values. A NetworkPolicy knows addresses only: names become the
    addresses that they have now when `resolve` is given, and stand under `names` for policies that know names."""
    blocks: dict[tuple[str, int], None] = {}
    names: list[dict[str, object]] = []
    for place in places:
        addresses = _literal(place.host)
        if not addresses:
            names.append({"name": place.host, "port": place.port})
            addresses = resolve(place.host) if resolve is not None else []
        for address in addresses:
            blocks[str(ip_network(address)), place.port] = None
    egress = [{"cidr": cidr, "port": port} for cidr, port in blocks]
    return {"networkPolicy": {"enabled": True, "egress": egress, "names": names}}


def addresses_of(host: str) -> list[str]:
    """What a name resolves to now; nothing when it does not."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(entry[4][0]).split("%")[0] for entry in found})


def _literal(host: str) -> list[str]:
    try:
        return [str(ip_address(host))]
    except ValueError:
        return []
