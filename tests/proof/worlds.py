"""Random configurations, callers and calls, each call with the facts that its author knows about it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

from proof.oracle import APIS, LEVELS, Caller, Facts

# Last days of attestations, as days from today.
DAYS = (-1, 0, 1, -800, 2000)
KINDS = ("cloud", "private-cloud", "on-prem", "edge")
# Close to each other on purpose: `eur` is not within `eu`, nor `us-gov` within `us`.
REGIONS = ("eu", "eu/de", "eu/de/fra", "eu/fr", "eur", "eur/x", "us", "us/ca", "us-gov", "asia")
# The first is what most rules ask for and most environments hold, somehow.
ATTESTS = ("baa", "dpa", "zero-retention", "scc", "onward-terms")
OPERATORS = ("OpenAI", "openai", "Microsoft", "self")
TAGS = ("personal", "phi", "pci", "source-code", "financial", "special-category")
REGULATIONS = ("gdpr", "hipaa", "dora")
PACKS = ("gdpr", "hipaa", "pci-dss", "dora")
TENANTS = ("default", "acme")
TEAMS = ("blue", "red")
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
    "count_tokens": "/v1/messages/count_tokens",
}
# Nothing in these is anybody's.
PLAIN = tuple(
    f"Write {many} words about {what}."
    for many in ("three", "ten", "forty", "some", "many")
    for what in ("rivers", "the weather", "old bridges", "bread", "a quiet evening", "clouds", "music", "gardening")
)
# Texts that nobody may overlook, and what they hold.
PLANTED = (
    ("Please charge my card 4111 1111 1111 1111, expiry 12/29.", ("pci",)),
    ("Deploy with the token ghp_x7Kq2LmN9pR4tV6wY8zA1bC3dE5fG0hJ2kL4 please.", ("credentials",)),
    ("My e-mail address is maria.huber@beispiel-firma.de, write to me there.", ("personal",)),
)
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
FUNCTION = {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}}


@dataclass(frozen=True)
class Sent:
    """One call: what goes over the wire, and what its author knows about it.

    plain: every deployment that can serve it must be able to, translated or not. sessions: names of its conversation.
    origin: what makes its conversation the same as another one's. turns: messages of the conversation so far.
    """

    caller: int
    facts: Facts
    body: bytes
    stream: bool
    headers: tuple[tuple[str, str], ...]
    plain: bool
    session: str | None
    origin: tuple[str, ...] | None
    turns: int

    @property
    def path(self) -> str:
        return PATHS[self.facts.api]


@dataclass(frozen=True)
class World:
    """One configuration and those who call under it."""

    text: str
    today: str
    callers: tuple[Caller, ...]


def today() -> date:
    return datetime.now(UTC).date()


def some(rng: Random, values: tuple[str, ...], most: int = 3) -> list[str]:
    return rng.sample(values, rng.randint(1, min(most, len(values))))


# --- configurations ---


def attestation(rng: Random) -> str | dict[str, Any]:
    name = rng.choice(ATTESTS) if rng.random() < 0.5 else "baa"
    if rng.random() < 0.3:
        return name
    held: dict[str, Any] = {"name": name}
    if rng.random() < 0.7:
        held["until"] = (today() + timedelta(days=rng.choice(DAYS))).isoformat()
    if rng.random() < 0.3:
        held["covers"] = some(rng, APIS, 4)
    return held


def environment(rng: Random) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": rng.choice(KINDS)}
    if rng.random() < 0.85:
        found["region"] = rng.choice(REGIONS)
    if rng.random() < 0.35:
        found["storage_region"] = rng.choice(REGIONS)
    if rng.random() < 0.3:
        found["jurisdiction"] = rng.choice(REGIONS)
    if rng.random() < 0.75:
        found["operator"] = rng.choice(OPERATORS)
    held = [attestation(rng) for _ in range(rng.randint(0, 3))]
    if held:
        found["attests"] = held
    return found


def predicate(rng: Random, depth: int = 2) -> dict[str, Any]:
    draw = rng.random()
    if depth and draw < 0.15:
        return {"not": predicate(rng, depth - 1)}
    if depth and draw < 0.35:
        return {"any": [predicate(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
    if depth and draw < 0.42:
        return {"all": [predicate(rng, depth - 1) for _ in range(rng.randint(1, 2))]}
    key = rng.choice(("kind", "region", "region", "storage_region", "jurisdiction", "operator", *["attests"] * 4))
    if key == "kind":
        return {key: some(rng, KINDS)}
    if key == "operator":
        return {key: some(rng, OPERATORS)}
    if key == "attests":
        return {key: ["baa"] if rng.random() < 0.7 else some(rng, ATTESTS, 2)}
    return {key: some(rng, REGIONS)}


def rule(rng: Random, number: int, workloads: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {"id": f"rule{number}", "allow": predicate(rng)}
    when: dict[str, Any] = {}
    draw = rng.random()
    if draw < 0.6:
        when["data"] = some(rng, TAGS)
    elif draw < 0.95:
        when["level"] = rng.choice(LEVELS[1:])
    if rng.random() < 0.2:
        when["regulations"] = some(rng, REGULATIONS, 2)
    if rng.random() < 0.15:
        when["workloads"] = some(rng, workloads)
    if rng.random() < 0.1:
        when["teams"] = some(rng, TEAMS, 1)
    if rng.random() < 0.1:
        when["tenants"] = some(rng, TENANTS, 1)
    if when:
        found["when"] = when
    draw = rng.random()
    if draw < 0.4:
        found["onward"] = "allow"
    elif draw < 0.6:
        found["onward"] = predicate(rng, 1)
    return found


def deployment(rng: Random, environments: tuple[str, ...], address: str, protocol: str, model: str) -> dict[str, Any]:
    """address: scheme, host and port."""
    if protocol == "anthropic":
        apis = rng.choice((["messages"], ["messages", "count_tokens"]))
    else:
        apis = rng.choice(
            (["chat"], ["chat", "completions"], ["chat", "responses"], ["responses"], ["chat", "embeddings"])
        )
    capabilities: dict[str, Any] = {"apis": apis}
    if rng.random() < 0.1:
        capabilities["tools"] = False
    if rng.random() < 0.1:
        capabilities["images"] = False
    return {
        "environment": rng.choice(environments),
        "protocol": protocol,
        "base_url": address if protocol == "anthropic" else f"{address}/v1",
        "allow_private": True,
        "model": model,
        "price": "free",
        # Providers fail as a die falls: what was learnt of them would say nothing.
        "health": {"enabled": False},
        "capabilities": capabilities,
    }


def workload(rng: Random, deployments: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    draw = rng.random()
    if draw < 0.3:
        found["data"] = some(rng, (*LEVELS, *TAGS), 2)
    if rng.random() < 0.4:
        found["regulations"] = some(rng, REGULATIONS, 2)
    if rng.random() < 0.4:
        found["placements"] = rng.sample(deployments, rng.randint(1, len(deployments)))
    if rng.random() < 0.3:
        found["opaque"] = some(rng, (*LEVELS, "personal", "opaque"), 2)
    if rng.random() < 0.8:
        found["retries"] = {"max_attempts": rng.randint(1, 10), "backoff_s": 0}
    if rng.random() < 0.3:
        found["strategy"] = rng.choice(("cheapest", "edge-first", "overflow"))
    return found


def configuration(rng: Random, addresses: list[tuple[str, str]], model: str = "m") -> dict[str, Any]:
    """A file with a deployment for each (address, protocol)."""
    environments = tuple(f"env{i}" for i in range(rng.randint(1, 5)))
    deployments = {
        f"dep{i}": deployment(rng, environments, address, protocol, model)
        for i, (address, protocol) in enumerate(addresses)
    }
    names = tuple(deployments)
    workloads = {f"work{i}": workload(rng, names) for i in range(rng.randint(1, 4))}
    doc: dict[str, Any] = {
        "environments": {name: environment(rng) for name in environments},
        "deployments": deployments,
        "workloads": workloads,
        "teams": {"blue": {}, "red": {"workloads": some(rng, tuple(workloads))}},
        "aliases": {f"alias{i}": rng.choice((*workloads, *names)) for i in range(rng.randint(1, 3))},
        "rules": [rule(rng, i, tuple(workloads)) for i in range(rng.choice((0, 1, 1, 2, 2, 3, 4)))],
    }
    if rng.random() < 0.7:
        # What an environment says of itself counts, even lapsed; the register speaks only where it is silent.
        lent = ["baa", *(attestation(rng) for _ in range(rng.randint(0, 2)))]
        doc["vendors"] = {who: {"attests": lent} for who in some(rng, ("openai", "MICROSOFT", "self"))}
    if rng.random() < 0.15:
        doc["packs"] = some(rng, PACKS, 2)
    if rng.random() < 0.3:
        doc["default_workload"] = rng.choice(tuple(workloads))
    return doc


def callers(rng: Random, doc: dict[str, Any]) -> tuple[Caller, ...]:
    workloads, deployments = tuple(doc["workloads"]), tuple(doc["deployments"])

    def caller() -> Caller:
        draw = rng.random()
        return Caller(
            tenant=rng.choice(TENANTS),
            team=rng.choice(("", "", "", *TEAMS)),
            workloads=tuple(some(rng, workloads)) if rng.random() < 0.2 else (),
            deployments=("*",) if draw < 0.7 else tuple(some(rng, deployments)) if draw < 0.85 else (),
            data=tuple(some(rng, (*LEVELS, *TAGS), 2)) if rng.random() < 0.1 else (),
        )

    return (Caller(deployments=("*",)), *(caller() for _ in range(rng.randint(1, 3))))


def world(rng: Random, addresses: list[tuple[str, str]]) -> World:
    doc = configuration(rng, addresses)
    return World(json.dumps(doc), today().isoformat(), callers(rng, doc))


# --- calls ---


class CallMaker:
    """Makes calls for one configuration. sessions: names of conversations, few enough to be met again."""

    def __init__(self, rng: Random, doc: dict[str, Any], callers: int, mark: str) -> None:
        self.rng = rng
        self.callers = callers
        self.workloads = tuple(doc["workloads"])
        self.names = (*(self.workloads * 6), *doc["aliases"], *doc["deployments"], "auto")
        self.sessions = tuple(f"session-{mark}-{i}" for i in range(4))
        self.mark = mark

    def make(self) -> Sent:
        rng = self.rng
        api = rng.choice(("chat", "chat", "chat", "messages", "messages", "responses", "responses", "completions",
                          "embeddings", "count_tokens"))  # fmt: skip
        model = rng.choice(self.names) if rng.random() < 0.98 else "nobody-knows-this"
        told = rng.choice(self.workloads) if rng.random() < 0.15 else None
        header = tuple(some(rng, (*LEVELS, *TAGS), 2)) if rng.random() < 0.3 else ()
        if header and rng.random() < 0.05:
            header = (*header, "phii")
        draft = Draft(rng, api, model, self.mark)
        draft.fill()
        headers: list[tuple[str, str]] = []
        if told is not None:
            headers.append(("x-signalbox-workload", told))
        if header:
            headers.append(("x-signalbox-data", ", ".join(header)))
        session = rng.choice(self.sessions) if rng.random() < 0.06 else None
        if session is not None:
            headers.append(("x-signalbox-session", session))
        return Sent(
            caller=rng.randrange(self.callers),
            facts=Facts(
                api=api,
                model=model,
                workload_header=told,
                header=header,
                holds=draft.holds,
                onward=tuple(draft.onward),
                unknown_tool=draft.unknown_tool,
                opaque=draft.opaque,
                tools="tools" in draft.body,
            ),
            body=json.dumps(draft.body).encode(),
            stream=bool(draft.body.get("stream")),
            headers=tuple(headers),
            plain=not (draft.onward or draft.unknown_tool or draft.opaque),
            session=session,
            origin=draft.origin,
            turns=draft.turns,
        )


class Draft:
    """The body of one call, and what was put into it."""

    def __init__(self, rng: Random, api: str, model: str, mark: str) -> None:
        self.rng = rng
        self.api = api
        self.mark = mark
        self.body: dict[str, Any] = {"model": model}
        self.onward: list[str] = []
        self.holds: tuple[str, ...] = ()
        self.unknown_tool = self.opaque = False
        self.origin: tuple[str, ...] | None = None
        self.turns = 1

    def fill(self) -> None:
        rng, body = self.rng, self.body
        text = rng.choice(PLAIN)
        if rng.random() < 0.04:
            text, self.holds = rng.choice(PLANTED)
        if self.api == "embeddings":
            body["input"] = text
            return
        if self.api != "count_tokens" and rng.random() < 0.4:
            body["stream"] = True
        if self.api == "completions":
            body |= {"prompt": text, "max_tokens": 16}
            return
        turns = self._turns(text)
        if self.api == "responses":
            body |= {"input": turns if len(turns) > 1 else turns[0]["content"], "max_output_tokens": 16}
            if rng.random() < 0.6:
                body["store"] = False
            else:
                self.onward.append("store")
        else:
            body["messages"] = turns
            if self.api != "count_tokens":
                body["max_tokens"] = 16
        if rng.random() < 0.25:
            self._extra(turns)

    def _turns(self, text: str) -> list[dict[str, Any]]:
        rng = self.rng
        if rng.random() > 0.2:
            turns = [{"role": "user", "content": text}]
        else:
            first = f"{rng.choice(PLAIN[:3])} ({self.mark})"
            self.turns = 3
            turns = [
                {"role": "user", "content": first},
                {"role": "assistant", "content": "Gladly."},
                {"role": "user", "content": text},
            ]
        self.origin = (turns[0]["content"],)
        return turns

    def _extra(self, turns: list[dict[str, Any]]) -> None:
        """One thing beyond text."""
        rng, body, api = self.rng, self.body, self.api
        what = rng.choice(("store", "search", "unknown", "image", "remote", "function", "function"))
        if what == "store" and api == "chat":
            body["store"] = True
            self.onward.append("store")
        elif what == "search":
            kind = {"chat": "web_search", "responses": "web_search"}.get(api, "web_search_20250305")
            body["tools"] = [{"type": kind, "name": "web_search"}]
            self.onward.append("web_search")
        elif what == "unknown":
            body["tools"] = [{"type": "teleport", "name": "teleport"}]
            self.unknown_tool = True
        elif what in ("image", "remote"):
            self._image(turns, IMAGE if what == "image" or api not in ("chat", "responses") else "https://a.test/p.png")
        elif what == "function":
            self._function()

    def _image(self, turns: list[dict[str, Any]], url: str) -> None:
        text = turns[-1]["content"]
        if self.api == "chat":
            parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
        elif self.api == "responses":
            parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": url}]
        else:
            source = {"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]}
            parts = [{"type": "text", "text": text}, {"type": "image", "source": source}]
        turns[-1]["content"] = parts
        if self.api == "responses":
            self.body["input"] = turns
        if self.turns == 1:
            self.origin = None
        self.opaque = True
        if url.startswith("https"):
            self.onward.append("image_url")

    def _function(self) -> None:
        if self.api == "chat":
            self.body["tools"] = [FUNCTION]
        elif self.api == "responses":
            self.body["tools"] = [{"type": "function", "name": "add", "parameters": {"type": "object"}}]
        else:
            self.body["tools"] = [{"name": "add", "description": "Adds.", "input_schema": {"type": "object"}}]
