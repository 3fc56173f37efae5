"""Many fake LLM providers in one process, with prices, limits, latency, scripted faults and a bill of their own.

The idea: a gateway's claims about money, faults and cancellation can only be tested against a provider that keeps
its own books. So this package shares no code with the protocol readers and the price list of the product: it counts
tokens by its own rule (`tokens`), prices them from its own table (`settings`, `bill`) and notes the moment at which
a client's close reached it (`log`). What an answer says and how it breaks is scripted by directives in the prompt
(`answers`), by a suffix of the model name, or through the control API (`faults`).

    sim = Simulator(SimulatorSettings())
    await sim.start()
    client = openai.AsyncOpenAI(base_url=sim.base_url("openai"), api_key="any")
    ...
    assert sim.bill.total.cost_pico == ...

Paths: `/{provider}/v1/...` (OpenAI-style base_url `/{provider}/v1`, Anthropic-style `/{provider}`),
`/{provider}/metrics`, and the control API `/sim/{healthz,log,bill,prices,faults,gauges,reset}`.
"""

from __future__ import annotations

from signalbox.simulator.bill import Bill, Row, Total
from signalbox.simulator.log import Entry, RequestLog
from signalbox.simulator.main import main, run
from signalbox.simulator.ports import ProviderPort
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import ModelSpec, Prices, ProviderSpec, SimulatorSettings, Spread

__all__ = [
    "Bill",
    "Entry",
    "ModelSpec",
    "Prices",
    "ProviderPort",
    "ProviderSpec",
    "RequestLog",
    "Row",
    "Simulator",
    "SimulatorSettings",
    "Spread",
    "Total",
    "main",
    "run",
]
