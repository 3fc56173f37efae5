"""What `serve` uses without a file: providers whose keys are in the environment, local servers, else the simulator.

What is found is written as the text of a signalbox.yaml, which workers read like any other and users can keep.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import msgspec

from signalbox.config.presets import PRESETS
from signalbox.config.schema_deployments import PresetName, Protocol
from signalbox.config.schema_words import NAME_PATTERN, RESERVED_NAMES, Api

# Usual ports of OpenAI-compatible servers, and what usually answers there.
LOCAL_SERVERS: dict[int, PresetName] = {
    11434: "ollama",
    8000: "vllm",
    8080: "llamacpp",
    1234: "lmstudio",
    30000: "sglang",
}
PROBE_TIMEOUT_S = 0.2
ANSWER_BYTES_MAX = 1024 * 1024
MODELS_PER_SERVER_MAX = 8

_NAME = re.compile(NAME_PATTERN.removesuffix("$") + r"\Z")
_EMBEDDING = re.compile(r"embed", re.IGNORECASE)


class Discovery(msgspec.Struct, frozen=True):
    """text: the content of a signalbox.yaml. lines: what was found, for people."""

    text: str
    lines: tuple[str, ...]


class SimulatedModel(msgspec.Struct, frozen=True):
    """One model of the simulator. path: of its provider on the simulator's address, as in `/openai/v1`.

    price: keys of `price` in the schema to US dollars.
    """

    name: str
    model: str
    path: str
    protocol: Protocol
    price: Mapping[str, Decimal]
    context_tokens: int = 0
    apis: tuple[Api, ...] = ()


class _Found(msgspec.Struct, frozen=True):
    """A place and the models that it serves."""

    preset: PresetName
    port: int | None
    models: tuple[str, ...]


async def discover(
    environ: Mapping[str, str],
    exclude_ports: Collection[int] = (),
    local_servers: Mapping[int, PresetName] | None = None,
) -> Discovery | None:
    """What can be used right now, or None when there is nothing. exclude_ports: our own, which are never asked.

    local_servers: ports to ask, LOCAL_SERVERS when left out.
    """
    servers = LOCAL_SERVERS if local_servers is None else local_servers
    found = [
        _Found(name, None, preset.models)
        for name, preset in PRESETS.items()
        if preset.models and preset.key_env and _usable(environ.get(preset.key_env))
    ]
    ports = [port for port in servers if port not in exclude_ports]
    answers = await asyncio.gather(*(_probe(port) for port in ports))
    found += [_Found(servers[port], port, models) for port, models in zip(ports, answers, strict=True) if models]
    return _write(found) if found else None


def simulated(base_url: str, models: Sequence[SimulatedModel]) -> Discovery:
    """The configuration for the built-in simulator at `base_url` (scheme, host and port)."""
    deployments: dict[str, Any] = {}
    for model in models:
        deployments[model.name] = {
            "preset": "simulator",
            "environment": "simulator",
            "protocol": model.protocol,
            "base_url": base_url.rstrip("/") + model.path,
            "model": model.model,
            "price": dict(model.price),
            "context_tokens": model.context_tokens,
            **({"capabilities": {"apis": list(model.apis)}} if model.apis else {}),
        }
    text = _yaml({"simulator": {"kind": "edge", "operator": "signalbox"}}, deployments)
    return Discovery(
        text,
        (
            "No provider key in the environment and no local model server: serving the built-in simulator.",
            f"Its answers are made up and its prices are play money. Models: {', '.join(deployments)}.",
        ),
    )


def _usable(key: str | None) -> bool:
    return bool(key) and key.isascii() and key.isprintable()


def _write(found: Sequence[_Found]) -> Discovery:
    environments: dict[str, Any] = {}
    deployments: dict[str, Any] = {}
    lines: list[str] = []
    for place in found:
        environment = place.preset if place.port is None else f"{place.preset}-{place.port}"
        environments[environment] = (
            {"kind": "cloud", "operator": place.preset} if place.port is None else {"kind": "edge"}
        )
        names: list[str] = []
        for model in place.models:
            name = model if model not in deployments else f"{environment}/{model}"
            if name in deployments or name in RESERVED_NAMES or name == "default" or not _NAME.match(name):
                continue
            names.append(name)
            deployments[name] = _deployment(place, environment, model)
        source = PRESETS[place.preset].key_env if place.port is None else f"http://127.0.0.1:{place.port}/v1"
        lines.append(f"Found {place.preset} ({source}): {', '.join(names)}.")
    return Discovery(_yaml(environments, deployments), tuple(lines))


def _deployment(place: _Found, environment: str, model: str) -> dict[str, Any]:
    """APIs by what the model is: a chat model answers no embedding call, and the other way round."""
    embeds = _EMBEDDING.search(model) is not None
    usual = PRESETS[place.preset].apis
    apis = [api for api in usual if (api == "embeddings") == embeds and api != "completions"]
    entry: dict[str, Any] = {"preset": place.preset, "environment": environment, "model": model}
    if place.port is not None:
        entry["base_url"] = f"http://127.0.0.1:{place.port}/v1"
        entry["price"] = "free"
    return {**entry, "capabilities": {"apis": apis}}


def _yaml(environments: Mapping[str, Any], deployments: Mapping[str, Any]) -> str:
    """One line an entry. JSON text is YAML, so nothing that a server calls its models can break out of its quotes."""
    out = ["# Written by discovery. Save it as signalbox.yaml to keep and change it.", "environments:"]
    out += [f"  {_flow(name)}: {_flow(entry)}" for name, entry in environments.items()]
    out.append("deployments:")
    out += [f"  {_flow(name)}: {_flow(entry)}" for name, entry in deployments.items()]
    return "\n".join(out) + "\n"


def _flow(value: object) -> str:
    """JSON with a space after each separator, as YAML wants it, and exact decimals."""
    match value:
        case dict():
            entries = cast("dict[str, object]", value).items()
            return "{" + ", ".join(f"{_flow(key)}: {_flow(entry)}" for key, entry in entries) + "}"
        case list():
            return "[" + ", ".join(_flow(entry) for entry in cast("list[object]", value)) + "]"
        case Decimal():
            return f"{value:f}"
        case _:
            return msgspec.json.encode(value).decode()


async def _probe(port: int) -> tuple[str, ...]:
    """Models that an OpenAI-compatible server on this port of this machine lists; empty when there is none."""
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            return _model_ids(await _get_models(port))
    except (OSError, TimeoutError, ValueError, EOFError, RecursionError, asyncio.LimitOverrunError):
        return ()


async def _get_models(port: int) -> bytes:
    """The body of `GET /v1/models`; empty when the status is not 200. HTTP/1.0, so that the end is the close."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024)
    try:
        writer.write(b"GET /v1/models HTTP/1.0\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split(b"\r\n", 1)[0].split(b" ")
        if len(status) < 2 or status[1] != b"200":
            return b""
        body = bytearray()
        length = re.search(rb"\r\ncontent-length: *(\d{1,9})\r\n", head, re.IGNORECASE)
        if length:
            return await reader.readexactly(min(int(length.group(1)), ANSWER_BYTES_MAX))
        while chunk := await reader.read(64 * 1024):
            body += chunk
            if len(body) > ANSWER_BYTES_MAX:
                return b""
        return bytes(body)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def _model_ids(body: bytes) -> tuple[str, ...]:
    """Raises ValueError for anything that is not a list of models."""
    if not body:
        return ()
    listed = msgspec.json.decode(body, type=_Models).data
    return tuple(dict.fromkeys(model.id for model in listed if _NAME.match(model.id)))[:MODELS_PER_SERVER_MAX]
