"""An operator's file made ready for a drill: every deployment led to a simulated provider, every secret taken out.

Nothing is looked up for it, neither in the process's environment nor in files that hold secrets. What decides where a
call may go stays as it is written.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from signalbox.config.load import load_text
from signalbox.config.presets import PRESETS, by_host
from signalbox.config.yaml12 import Mapping, Node, Scalar, Sequence, parse
from signalbox.control.drill_judge import Ability
from signalbox.core.errors import ConfigError

# Every deployment gets a listening port of its own, so that it can go down.
DEPLOYMENTS_MAX = 400
# What stands in place of every credential.
CREDENTIAL = "drill"
# A drill waits for nobody.
_TIMEOUTS = "{connect_s: 1, headers_s: 1, first_token_s: 1, idle_s: 1, total_s: 10}"
# What belongs to the real address or the real account, limits that are about load, not law, and what is learnt from
# failures, which happen here on purpose.
_REPLACED = frozenset(
    (
        "base_url",
        "replicas",
        "api_key",
        "auth_header",
        "ca_file",
        "proxy",
        "allow_private",
        "headers",
        "timeouts",
        "limits",
        "health",
        "saturation",
        "scale_from_zero",
    )
)
# Sections about where the installation itself stands: who comes in, what is kept, who is told. A drill has callers, a
# journal and a store of its own, and runs where their secrets are not set.
_LEFT_OUT = frozenset(("journal", "store", "telemetry", "alerts", "issuers", "certificates", "sign_in"))


class Rehearsal(msgspec.Struct, frozen=True):
    """text: the file for the gateway of the drill. doc: the declared file as plain values for its judge, every scalar
    as text. abilities: what each deployment can do."""

    text: bytes
    doc: dict[str, Any]
    abilities: dict[str, Ability]


def deployments_of(content: bytes, name: str) -> list[str]:
    """The names of the deployments that a file declares. Raises ConfigError when it cannot be read or there is nothing
    to drill."""
    tree = parse(content, name)
    section = tree.entries.get("deployments") if isinstance(tree, Mapping) else None
    if section is None or not isinstance(section[1], Mapping) or not section[1].entries:
        raise ConfigError([f"{name}: declares no deployment, so there is nothing to drill."])
    if len(section[1].entries) > DEPLOYMENTS_MAX:
        raise ConfigError([f"{name}: declares more than {DEPLOYMENTS_MAX} deployments, which is all a drill takes."])
    return list(section[1].entries)


def rehearse(content: bytes, name: str, addresses: dict[str, str], *, health: bool = False) -> Rehearsal:
    """The file with each deployment at its address (scheme, host and port). health: what it says about failures stays,
    which is off otherwise. Raises ConfigError with every finding that
    has nothing to do with addresses or secrets."""
    tree = parse(content, name)
    assert isinstance(tree, Mapping)  # or there would be no addresses
    text = _Writer(health).whole(tree, addresses)
    declared = load_text(text, name, {})
    abilities = {key: Ability(target.apis, target.tools, target.images) for key, target in declared.deployments.items()}
    return Rehearsal(text, _plain(tree), abilities)


class _Writer:
    """Writes a tree as one flow mapping, everything on the line on which it stood, so that findings name the place."""

    def __init__(self, health: bool) -> None:
        self._health = health
        self._out: list[str] = []
        self._line = 1

    def whole(self, tree: Mapping, addresses: dict[str, str]) -> bytes:
        self._put("{")
        for key, (line, node) in tree.entries.items():
            if key == "deployments" and isinstance(node, Mapping):
                self._key(key, line)
                self._put("{")
                for name, (at, deployment) in node.entries.items():
                    self._key(name, at)
                    self._deployment(deployment, addresses[name])
                    self._put(", ")
                self._put("}, ")
            elif key not in _LEFT_OUT:
                self._key(key, line)
                self._node(_without(node, "tls") if key == "server" else node)
                self._put(", ")
        self._put("journal: {fsync: off}}\n")
        return "".join(self._out).encode()

    def _deployment(self, node: Node, address: str) -> None:
        if not isinstance(node, Mapping):
            self._node(node)
            return
        preset = _text(node, "preset") or _known(node)
        protocol = _text(node, "protocol") or next(
            (each.protocol for name, each in PRESETS.items() if name == preset), ""
        )
        # Each vendor's own convention: OpenAI's addresses end in /v1, Anthropic's do not.
        url = address if protocol == "anthropic" else f"{address}/v1"
        self._put("{")
        for key, (line, value) in node.entries.items():
            if key not in _REPLACED or (key == "health" and self._health):
                self._key(key, line)
                self._node(value)
                self._put(", ")
        if preset and "preset" not in node.entries:
            self._put(f"preset: {_quoted(preset)}, ")
        self._put(
            f"base_url: {_quoted(url)}, api_key: {_quoted(CREDENTIAL)}, allow_private: true, timeouts: {_TIMEOUTS}"
        )
        self._put("}" if self._health else ", health: {enabled: false}}")

    def _node(self, node: Node) -> None:
        if isinstance(node, Mapping):
            self._put("{")
            for key, (line, value) in node.entries.items():
                self._key(key, line)
                self._node(value)
                self._put(", ")
            self._put("}")
        elif isinstance(node, Sequence):
            self._put("[")
            for item in node.items:
                self._to(item.line)
                self._node(item)
                self._put(", ")
            self._put("]")
        elif isinstance(node.value, str):
            self._put(_quoted(node.value))
        else:
            self._put(node.text or "null")  # numbers keep their spelling

    def _key(self, key: str, line: int) -> None:
        self._to(line)
        self._put(f"{_quoted(key)}: ")

    def _to(self, line: int) -> None:
        self._put("\n" * (line - self._line))
        self._line = max(line, self._line)

    def _put(self, text: str) -> None:
        self._out.append(text)


def _without(node: Node, name: str) -> Node:
    """A section but for one setting."""
    if not isinstance(node, Mapping):
        return node
    return msgspec.structs.replace(node, entries={key: one for key, one in node.entries.items() if key != name})


def _known(node: Mapping) -> str:
    """The preset by which a provider is recognised from its address, which a drill takes away."""
    urls = [_text(node, "base_url")]
    replicas = node.entries.get("replicas")
    if replicas is not None and isinstance(replicas[1], Sequence):
        urls += [item.text for item in replicas[1].items[:1] if isinstance(item, Scalar)]
    preset = next((by_host(host) for url in urls if (host := _host(url))), None)
    return next((key for key, each in PRESETS.items() if each is preset), "")


def _host(url: str) -> str:
    try:
        return "" if "${" in url else urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _text(node: Mapping, key: str) -> str:
    found = node.entries.get(key)
    return found[1].text if found is not None and isinstance(found[1], Scalar) else ""


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _plain(node: Node) -> Any:
    if isinstance(node, Mapping):
        return {key: _plain(value) for key, (_, value) in node.entries.items()}
    if isinstance(node, Sequence):
        return [_plain(item) for item in node.items]
    return None if node.value is None else node.text
