"""The seams at which answers tell callers their own limits: every API, streamed and not, over every way to an answer.

Each cell is a workload, which under a limit for workloads has that limit for itself.
"""

from __future__ import annotations

from typing import Any

import msgspec

from harness import Answer, simulated_config
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings, default_providers

# What every provider tells of its own limit.
PROVIDERS_LIMIT = "900"
# What each workload may do in an hour.
CALLS = 4
ASKED = [{"role": "user", "content": "hi"}]
APIS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": ASKED, "max_tokens": 20}),
    "messages": ("/v1/messages", {"messages": ASKED, "max_tokens": 20}),
    "responses": ("/v1/responses", {"input": "hi", "max_output_tokens": 20}),
    "completions": ("/v1/completions", {"prompt": "hi", "max_tokens": 20}),
    "embeddings": ("/v1/embeddings", {"input": "hi"}),
    "count_tokens": ("/v1/messages/count_tokens", {"messages": ASKED}),
}
STREAMED = ("chat", "messages", "responses", "completions")
# The deployment of `simulated_config` that speaks the API itself, and one of another protocol that is translated to.
OWN = {"completions": "local", "embeddings": "embed", "count_tokens": "messages"}
ACROSS = {"chat": "messages", "messages": "chat", "responses": "chat"}


class Cell(msgspec.Struct, frozen=True):
    """place: `primary`, `fallback` (the first deployment refuses), or `across` (so does the first, and the second one
    speaks another protocol)."""

    api: str
    stream: bool
    place: str

    @property
    def name(self) -> str:
        return f"{self.api}-{'stream' if self.stream else 'whole'}-{self.place}"

    @property
    def path(self) -> str:
        return APIS[self.api][0]

    @property
    def body(self) -> dict[str, Any]:
        stream = {"stream": True} if self.stream else {}
        return {"model": self.name, **APIS[self.api][1], **stream}

    @property
    def placements(self) -> list[str]:
        own = OWN.get(self.api, self.api)
        last = ACROSS[self.api] if self.place == "across" else own
        return [last] if self.place == "primary" else [f"{own}-down", last]


CELLS = [
    Cell(api, stream, place)
    for api in APIS
    for stream in ((False, True) if api in STREAMED else (False,))
    for place in ("primary", "fallback", *(["across"] if api in ACROSS else []))
]


def limited_providers() -> SimulatorSettings:
    """Every provider has a limit of its own, and tells it with every answer."""
    return SimulatorSettings(
        providers={
            name: msgspec.structs.replace(spec, rpm=int(PROVIDERS_LIMIT)) for name, spec in default_providers().items()
        }
    )


def config_of_cells(sim: Simulator) -> dict[str, Any]:
    """A workload for each cell, every one with a limit of CALLS an hour; deployments that always refuse."""
    config = simulated_config(sim, health={"enabled": False})
    deployments = config["deployments"]
    for name, one in list(deployments.items()):
        deployments[f"{name}-down"] = {**one, "model": f"{one['model']}!503"}
    config["workloads"] = {cell.name: {"placements": cell.placements} for cell in CELLS}
    config["budgets"] = [{"for": "workload", "requests_per_hour": CALLS}]
    return config


def told(api: str, answer: Answer) -> dict[str, dict[str, str]]:
    """By unit: limit, remaining and reset. Nothing is told in the words of another dialect."""
    of_messages = api in ("messages", "count_tokens")
    found: dict[str, dict[str, str]] = {}
    for name, value in answer.headers.items():
        if name.startswith("anthropic-ratelimit-"):
            assert of_messages, name
            unit, _, what = name.removeprefix("anthropic-ratelimit-").rpartition("-")
        elif name.startswith("x-ratelimit-"):
            assert not of_messages, name
            what, _, unit = name.removeprefix("x-ratelimit-").partition("-")
        else:
            continue
        found.setdefault(unit, {})[what] = value
    return found
