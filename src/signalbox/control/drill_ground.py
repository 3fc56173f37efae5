"""What every drill stands on: what is asked for, the providers in place of the real ones, and a gateway of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from decimal import Decimal
from typing import Protocol

import msgspec

from signalbox.control.drill_config import CREDENTIAL
from signalbox.control.keys import NewKey, make
from signalbox.core.errors import ConfigError
from signalbox.core.link import Applied, ApplyConfig, ApplyKeys, Order, Report
from signalbox.core.ports import Store
from signalbox.simulator.settings import ModelSpec, Prices, ProviderSpec, SimulatorSettings, Spread

FINDINGS_MAX = 20
ANSWER_S = 60.0
# Calls between two judgements: what is remembered of them is bounded by this.
ROUND = 500
_LOG_BYTES = 256 * 1024 * 1024
_PEPPER = b"drill".ljust(32, b".")
# A key that may use every workload, and every deployment by its name.
EVERYTHING = NewKey("drill", deployments=("*",))


class Installation(Protocol):
    """A gateway of its own for the drill, in a state directory that is thrown away."""

    async def obey(self, order: Order) -> Report: ...

    async def reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the gateway, as a client would have it."""
        ...

    def books(self) -> Store:
        """The ledger, with everything that the journal holds. Closed by the caller; called off the loop."""
        ...


class Plan(msgspec.Struct, frozen=True):
    """What to drill: the file's content, its name in messages, how many calls, and the seed that they follow from."""

    content: bytes
    name: str
    calls: int
    seed: int


def provider_settings(deployments: list[str], plan: Plan) -> SimulatorSettings:
    """A provider for each deployment, which serves whatever model it is asked for and takes no real credential."""
    model = ModelSpec(Prices(Decimal(1), Decimal(1)), context_tokens=1_000_000_000)
    spec = ProviderSpec({"any": model}, ttft_ms=Spread(1), wildcard="any", api_keys=(CREDENTIAL,))
    return SimulatorSettings(
        providers={f"d{at}": spec for at in range(len(deployments))},
        seed=plan.seed,
        log_entries=ROUND * 64,
        log_bytes=_LOG_BYTES,
        bill_rows=1,
    )


async def install(installation: Installation, text: bytes, name: str, callers: Iterable[NewKey]) -> list[str]:
    """Puts a rehearsed file in force; the keys that are made for its callers. Raises ConfigError."""
    report = await installation.obey(ApplyConfig(text, name, 1))
    if isinstance(report, Applied) and report.error:
        raise ConfigError([report.error])
    made = [make(wanted, _PEPPER, 1) for wanted in callers]
    await installation.obey(ApplyKeys(_PEPPER, [row for row, _ in made]))
    return [key.reveal() for _, key in made]
