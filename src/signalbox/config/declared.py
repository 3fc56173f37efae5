"""What one reading of a file yields: the settings as declared, and each deployment with all its blanks filled."""

from __future__ import annotations

import msgspec

from signalbox.config.schema import Config
from signalbox.config.schema_places import Environment
from signalbox.config.schema_prices import Price
from signalbox.core.caching import SharedCache
from signalbox.core.choosing import Scorer
from signalbox.core.secret import Secret
from signalbox.core.shares import Share
from signalbox.core.snapshot import Health, Origin, Saturation, Timeouts
from signalbox.core.tiering import Head

# The operator of places of one's own.
SELF = "self"
_OWN_KINDS = frozenset(("on-prem", "edge"))


def operator_of(environment: Environment) -> str:
    """Who runs an environment, empty when nobody said."""
    return environment.operator or (SELF if environment.kind in _OWN_KINDS else "")


class Target(msgspec.Struct, frozen=True):
    """One deployment after preset, protocol and environment filled what its author left out.

    auth: header name in lower case and its whole value, `Bearer …` included. price: None where nobody stated one and
    no catalogue knows the provider. catalogue: the provider's id in the price catalogue, or None.
    """

    environment: str
    protocol: str
    model: str
    replicas: tuple[Origin, ...]
    auth: tuple[str, Secret] | None
    headers: tuple[tuple[str, str], ...]
    apis: frozenset[str]
    timeouts: Timeouts
    price: str | tuple[Price, ...] | None
    catalogue: str | None
    context_tokens: int
    concurrency: int
    shares: dict[str, Share]
    tools: bool
    images: bool
    json_schema: bool
    prefill: bool
    betas: frozenset[str] | None
    cache_salt: bool
    no_store: bool
    stream_usage: bool
    fine_tune_of: str | None
    health: Health
    saturation: Saturation
    wake_hold_ns: int


class Declared(msgspec.Struct, frozen=True):
    """A file that was read without findings.

    name: the file, as messages name it. version: hash of the content, secrets apart, written into ledger rows; a
    rotated secret leaves it as it is, but makes two of these unequal. lines: where each named thing stands, such as
    `deployments.mini`. files: every file whose change changes this. heads: of tiers, by workload; scorers: of
    answers, likewise.
    shared_cache: where the kept answers of many machines lie. inline_secrets: places where a secret stands in the file
    itself.
    """

    name: str
    version: str
    config: Config
    deployments: dict[str, Target]
    lines: dict[str, int]
    files: tuple[str, ...] = ()
    heads: dict[str, Head] = {}
    scorers: dict[str, Scorer] = {}
    shared_cache: SharedCache | None = None
    inline_secrets: tuple[str, ...] = ()

    def where(self, place: str) -> str:
        """`file:line` of a place such as `workloads.support-chat`."""
        while place and place not in self.lines:
            place = place.rpartition(".")[0]
        return f"{self.name}:{self.lines.get(place, 1)}"
