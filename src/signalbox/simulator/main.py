"""The simulator as a program: start it, say where it is and how to call it, stop on SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import uvloop

from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings


async def run(settings: SimulatorSettings, host: str, port: int, *, as_json: bool = False) -> None:
    """Serves until SIGINT or SIGTERM. Raises OSError when the port is taken."""
    sim = Simulator(settings)
    await sim.start(host, port)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    # Long-lived objects are out of the collector's way: it would walk them at every pass for nothing.
    gc.freeze()
    sys.stdout.write(_greeting(sim, as_json))
    sys.stdout.flush()
    try:
        await stopped.wait()
    finally:
        await sim.stop()


def _greeting(sim: Simulator, as_json: bool) -> str:
    names = list(sim.providers)
    if as_json:
        doc = {"url": sim.url, "providers": names, "models": {n: list(s.spec.models) for n, s in sim.providers.items()}}
        return msgspec.json.encode(doc).decode() + "\n"
    model = next(iter(sim.providers[names[0]].spec.models)) if names else "-"
    return (
        f"simulator at {sim.url}, providers: {', '.join(names)}; nothing here is a real model\n"
        f"  curl {sim.url}/{names[0] if names else '-'}/v1/chat/completions -d "
        f'\'{{"model":"{model}","messages":[{{"role":"user","content":"hello"}}]}}\'\n'
        f"  faults: {sim.url}/sim/faults  bill: {sim.url}/sim/bill  log: {sim.url}/sim/log\n"
    )


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535, 0 for a free one")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `signalbox simulate`, which are those of this module run as a program."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8790, help="0 picks a free one (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="answers and latencies depend on it")
    parser.add_argument("--latency", choices=("off", "on"), default="off", help="on: each provider's own pace")
    parser.add_argument("--settings", type=Path, help="a JSON file of simulator settings")
    parser.add_argument("--json", action="store_true", help="print the address and models as one JSON object")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="signalbox simulate", description="Serve simulated LLM providers.")
    add_arguments(parser)
    return serve(parser.parse_args(sys.argv[1:] if argv is None else argv))


def serve(args: argparse.Namespace) -> int:
    """Exit code: 0 stopped as asked, 2 wrong settings or port."""
    try:
        settings = SimulatorSettings()
        if args.settings is not None:
            settings = msgspec.json.decode(args.settings.read_bytes(), type=SimulatorSettings)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        sys.stderr.write(f"{args.settings}: cannot be used as settings ({why}).\n")
        return 2
    settings = msgspec.structs.replace(settings, seed=args.seed or settings.seed)
    if args.latency == "on":
        settings = msgspec.structs.replace(settings, latency="on")
    try:
        uvloop.run(run(settings, args.host, args.port, as_json=args.json))
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        fix = "Choose another --port, or stop what holds it." if taken else "Check --host."
        why = os.strerror(errno.EADDRINUSE) if taken else error.strerror
        sys.stderr.write(f"{args.host}:{args.port}: cannot listen ({why}). {fix}\n")
        return 2
    return 0
