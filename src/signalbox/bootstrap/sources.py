"""Where the first configuration comes from: the file, discovery, or the built-in simulator."""

from __future__ import annotations

import msgspec

from signalbox.bootstrap.options import ServeOptions
from signalbox.config import schema_deployments
from signalbox.config.discover import SimulatedModel, discover, simulated
from signalbox.control.source import ConfigSource, FileSource, FixedSource, Text
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings


async def first_source(options: ServeOptions) -> tuple[ConfigSource, tuple[str, ...], Simulator | None]:
    """The file, or what discovery finds, or the built-in simulator when there is nothing else."""
    if options.config is not None:
        return FileSource(options.config), (), None
    found = await discover(options.environ, exclude_ports=(options.port, options.admin_port))
    simulator: Simulator | None = None
    if found is None:
        simulator = Simulator(SimulatorSettings(latency="on"))
        await simulator.start()
        found = simulated(simulator.url, _simulated_models(simulator))
    return FixedSource(Text(found.text.encode(), "(discovered)")), found.lines, simulator


def _simulated_models(simulator: Simulator) -> list[SimulatedModel]:
    """The models of the simulator's first two providers, one of each protocol family."""
    models: list[SimulatedModel] = []
    shown: tuple[tuple[str, schema_deployments.Protocol, str], ...] = (
        ("openai", "openai", "/openai/v1"),
        ("anthropic", "anthropic", "/anthropic"),
    )
    for provider, protocol, path in shown:
        for name, prices in simulator.prices[provider].items():
            embeds = "embed" in name
            if embeds and protocol == "anthropic":
                continue
            models.append(
                SimulatedModel(
                    name=name if provider == "openai" else f"{provider}/{name}",
                    model=name,
                    path=path,
                    protocol=protocol,
                    price=msgspec.structs.asdict(prices),
                    apis=("embeddings",) if embeds else (),
                )
            )
    return models
