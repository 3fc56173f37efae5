"""Fills what a deployment left out, from its preset, its protocol and its environment, or says what is missing."""

from __future__ import annotations

from msgspec import structs

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.declared import Target
from signalbox.config.presets import APIS_BY_PROTOCOL, AUTH_BY_PROTOCOL, AUTHORIZATION, PRESETS, Preset, by_host
from signalbox.config.prices import rates_of, tariff_of
from signalbox.config.problems import Path, Problems
from signalbox.config.references import References
from signalbox.config.schema_deployments import Deployment, Protocol
from signalbox.config.schema_places import Environment
from signalbox.config.schema_prices import Price
from signalbox.core.secret import Secret
from signalbox.core.shares import Share
from signalbox.core.snapshot import Health, Origin, Saturation, Timeouts

# APIs whose bodies may say whether the provider keeps the answer.
STORING: frozenset[str] = frozenset(("chat", "completions", "responses"))
_OWN_KINDS = frozenset(("on-prem", "edge"))
# Headers that the transport writes itself, or that carry credentials, which belong into api_key.
_TRANSPORT_HEADERS = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding", "expect", "te",
     "upgrade", "trailer", "keep-alive", "proxy-authorization", "proxy-connection")
)  # fmt: skip
_CREDENTIAL_HEADERS = frozenset(("authorization", "x-api-key", "api-key", "cookie"))


def complete(
    name: str, declared: Deployment, environment: Environment, references: References, problems: Problems
) -> Target | None:
    """The deployment with its blanks filled; None when something is wrong, which is then on record in `problems`."""
    path: Path = ("deployments", name)
    preset = PRESETS[declared.preset] if declared.preset else None
    replicas = _replicas(declared, environment, preset, problems, path)
    known = preset or (by_host(replicas[0].host) if replicas else None)
    protocol = declared.protocol or (known.protocol if known else None)
    if protocol is None:
        problems.add(path, "its protocol is not known", "Add `protocol: openai` or `protocol: anthropic`, or a preset")
        return None
    if known is not None and known.protocol != protocol:
        known = None  # another door of the same house: its usual settings do not hold there
    _check_paths(declared, protocol, problems, path)
    auth = _auth(declared, protocol, known, preset, references, problems, path)
    _check_headers(declared, problems, path)
    _check_price(declared, protocol, known, problems, path)
    capabilities = declared.capabilities
    apis = capabilities.apis or (known.apis if known else APIS_BY_PROTOCOL[protocol])
    if declared.store == "never" and STORING.isdisjoint(apis):
        problems.add((*path, "store"), "none of its APIs can be told what to keep", "Leave `store` out")
    if not replicas:
        return None
    timeouts = declared.timeouts
    catalogue = known.catalogue if known else None
    return Target(
        environment=declared.environment,
        protocol=protocol,
        model=declared.model,
        replicas=replicas,
        auth=auth,
        headers=tuple((key.lower(), value) for key, value in declared.headers.items()),
        apis=frozenset(apis),
        timeouts=Timeouts(
            timeouts.connect_s, timeouts.headers_s, timeouts.first_token_s, timeouts.idle_s, timeouts.total_s
        ),
        price=_price(declared) or ("catalogue" if catalogue else None),
        catalogue=catalogue,
        context_tokens=declared.context_tokens,
        concurrency=declared.limits.concurrency,
        shares={name: Share(one.least_share, one.weight) for name, one in declared.limits.shares.items()},
        tools=_or(capabilities.tools, True),
        images=_or(capabilities.images, True),
        json_schema=_or(capabilities.json_schema, True),
        cache_salt=_or(capabilities.cache_salt, False),
        no_store=declared.store == "never",
        prefill=_or(capabilities.prefill, known.prefill if known else False),
        betas=None if capabilities.betas is None else frozenset(capabilities.betas),
        stream_usage=_or(capabilities.stream_usage, known.stream_usage if known else True),
        fine_tune_of=declared.fine_tune_of,
        health=Health(**structs.asdict(declared.health)),
        saturation=_saturation(declared),
        wake_hold_ns=round(declared.scale_from_zero.hold_s * 1e9) if declared.scale_from_zero is not None else 0,
    )


def _price(declared: Deployment) -> str | tuple[Price, ...] | None:
    price = declared.price
    if isinstance(price, Price):
        return (price,)
    return tuple(price) if isinstance(price, list) else price


def _saturation(declared: Deployment) -> Saturation:
    stated = declared.saturation
    tells = stated.waiting_max is not None or stated.kv_cache_max > 0
    return Saturation(**structs.asdict(stated), metrics=tells)


def _or(stated: bool | None, usual: bool) -> bool:
    return usual if stated is None else stated


def _replicas(
    declared: Deployment,
    environment: Environment,
    preset: Preset | None,
    problems: Problems,
    path: Path,
) -> tuple[Origin, ...]:
    if declared.base_url and declared.replicas:
        problems.add((*path, "replicas"), "base_url and replicas are both given", "Keep one of the two")
        return ()
    urls: list[tuple[Path, str]] = [((*path, "replicas", i), url) for i, url in enumerate(declared.replicas)]
    if not urls:
        usual = declared.base_url or (preset.base_url if preset else None)
        if usual is None:
            problems.add(path, "its address is not known", "Add `base_url`, or a preset that has one")
            return ()
        urls = [((*path, "base_url"), usual)]
    proxy = _proxy(declared, problems, path)
    private = _private(declared, environment, preset)
    origins: list[Origin] = []
    for at, url in urls:
        try:
            origin = origin_of(url, private=private, ca_file=declared.ca_file, proxy=proxy)
        except AddressProblem as problem:
            problems.add(at, problem.what, problem.fix)
            continue
        if any(origin.name == other.name for other in origins):
            problems.add(at, "is the same address as another replica", "Name every replica once")
            continue
        origins.append(origin)
    return tuple(origins) if len(origins) == len(urls) else ()


def _private(declared: Deployment, environment: Environment, preset: Preset | None) -> bool | None:
    if declared.allow_private is not None:
        return declared.allow_private
    if environment.kind in _OWN_KINDS or (preset is not None and preset.private):
        return True
    return None


def _proxy(declared: Deployment, problems: Problems, path: Path) -> str | None:
    if declared.proxy is None:
        return None
    try:
        origin = origin_of(declared.proxy, private=True, ca_file=None, proxy=None)
    except AddressProblem as problem:
        problems.add((*path, "proxy"), problem.what, "Write http://host:port")
        return None
    if origin.scheme != "http" or origin.path:
        problems.add((*path, "proxy"), "is not a plain HTTP proxy", "Write http://host:port")
        return None
    return f"http://[{origin.host}]:{origin.port}" if ":" in origin.host else f"http://{origin.host}:{origin.port}"


def _check_paths(declared: Deployment, protocol: Protocol, problems: Problems, path: Path) -> None:
    """Anthropic's SDK appends /v1/messages itself; an address that ends in /v1 would reach nothing."""
    if protocol != "anthropic":
        return
    urls = [((*path, "base_url"), declared.base_url or "")]
    urls += [((*path, "replicas", position), url) for position, url in enumerate(declared.replicas)]
    for at, url in urls:
        if url.rstrip("/").endswith("/v1"):
            problems.add(at, "an anthropic address does not end in /v1", "Leave the /v1 out; it is added")


def _auth(
    declared: Deployment,
    protocol: Protocol,
    known: Preset | None,
    preset: Preset | None,
    references: References,
    problems: Problems,
    path: Path,
) -> tuple[str, Secret] | None:
    key = declared.api_key or _usual_key(declared, preset, references, problems, path)
    if key is None:
        if declared.auth_header:
            problems.add((*path, "auth_header"), "there is no api_key to send in it", "Add `api_key`")
        return None
    usual = known.auth_header if known else AUTH_BY_PROTOCOL[protocol]
    header = (declared.auth_header or usual).lower()
    if header in _TRANSPORT_HEADERS:
        problems.add((*path, "auth_header"), "is a header that the transport writes", "Name another header")
    return header, Secret(f"Bearer {key.reveal()}") if header == AUTHORIZATION else key


def _usual_key(
    declared: Deployment, preset: Preset | None, references: References, problems: Problems, path: Path
) -> Secret | None:
    """The variable that the provider's own SDK reads; only where the address is the provider's own, so that a key
    never follows a changed address in silence."""
    if preset is None or preset.key_env is None or (preset.base_url and (declared.base_url or declared.replicas)):
        return None
    value = references.variable(preset.key_env)
    if value is None and preset.key_needed:
        problems.add(
            path, f"it has no api_key and {preset.key_env} is not set", f"Export {preset.key_env}, or add `api_key`"
        )
    if value is None:
        return None
    if not value.isascii() or not value.isprintable():
        problems.add(path, f"{preset.key_env} holds characters that no key has", "Export the bare key")
        return None
    return Secret(value)


def _check_headers(declared: Deployment, problems: Problems, path: Path) -> None:
    seen: set[str] = set()
    for key in declared.headers:
        at = (*path, "headers", key)
        lower = key.lower()
        if lower in _TRANSPORT_HEADERS:
            problems.add(at, "is a header that the transport writes", "Remove it")
        elif lower in _CREDENTIAL_HEADERS:
            problems.add(at, "carries credentials", "Use `api_key`, with `auth_header` for an unusual header")
        elif lower in seen:
            problems.add(at, "is given twice in another case", "Keep one of the two")
        seen.add(lower)


def _check_price(
    declared: Deployment, protocol: Protocol, known: Preset | None, problems: Problems, path: Path
) -> None:
    price = declared.price
    at = (*path, "price")
    if price == "catalogue" and not (known and known.catalogue):
        problems.add(at, "the catalogue knows no such provider", "Write a mapping with input_mtok and output_mtok")
    stated = _price(declared)
    if not isinstance(stated, tuple):
        return
    if not stated:
        problems.add(at, "the list of prices is empty", "List at least one price, or leave `price` out")
    days = [one.since or "" for one in stated]
    if len(stated) > 1 and (days != sorted(set(days)) or "" in days[1:]):
        problems.add(at, "several prices need rising dates", "Give each a later `since` than the one before")
    for one in stated:
        try:
            rates_of(one, protocol)
            tariff_of(one, protocol)
        except ValueError as error:
            problems.add(at, str(error).rstrip("."), "See `price` in the reference")
