"""The `signalbox` command: finds the verb, loads its module and nothing else, and turns errors into exit codes.

Exit 0 good, 1 a finding (check failed, chain broken), 2 usage or a configuration that cannot be used.
"""

from __future__ import annotations

import argparse
import errno
import gc
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from signalbox import __version__
from signalbox.core.errors import SignalboxError

# Verb -> (module with `arguments(parser)` and `run(options) -> int`, one line for --help).
VERBS: dict[str, tuple[str, str]] = {
    "serve": ("signalbox.cli.serve", "start the gateway"),
    "check": ("signalbox.cli.check", "read a configuration and say what is wrong or suspicious"),
    "explain": ("signalbox.cli.explain", "say where a request would go and why, without sending it"),
    "schema": ("signalbox.cli.schema", "print the JSON Schema of signalbox.yaml"),
    "keys": ("signalbox.cli.keys", "create, list and revoke virtual keys"),
    "vendors": ("signalbox.cli.vendors", "what is on file about operators, and until when"),
    "ledger": ("signalbox.cli.ledger", "query and verify the ledger"),
    "cache": ("signalbox.cli.cache", "what kept answers did, and how to end them"),
    "guards": ("signalbox.cli.guards", "try texts on the guards of a workload, and keep reviewers' verdicts"),
    "kill": ("signalbox.cli.kill", "end the calls of somebody on every worker, and refuse new ones for a while"),
    "drill": ("signalbox.cli.drill", "try a configuration against failing providers and say whether anything escapes"),
    "catalogue": ("signalbox.cli.catalogue", "what the planner knows of models, hardware, prices and speed"),
    "bench": ("signalbox.cli.bench", "measure a live deployment through the gateway"),
    "apply": ("signalbox.cli.apply", "put a plan into signalbox.yaml, or go back to an earlier version"),
    "router": ("signalbox.cli.router", "learn which questions need a strong model, and say what that is worth"),
    "plan": ("signalbox.cli.plan", "say where each workload should run, at what cost, and why"),
    "egress": ("signalbox.cli.egress", "what a configuration connects to, for firewalls and network policies"),
    "migrate": ("signalbox.cli.migrate", "bring the database to this version"),
    "simulate": ("signalbox.cli.simulate", "serve simulated LLM providers"),
    "_worker": ("signalbox.cli.worker", argparse.SUPPRESS),
    "_ship": ("signalbox.cli.ship", argparse.SUPPRESS),
    "_export": ("signalbox.cli.export", argparse.SUPPRESS),
}


NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # what waits there is written by the interpreter's end, where a failure is too late
        return code
    except SignalboxError as error:
        print(str(error), file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output left (head, a pager): not our failure.
        _forget_output()
        return 0
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        # A traceback would end with 1, which says of a check or of a ledger that something was found.
        print(f"{error.filename or 'The output'} cannot be written: {error.strerror}.", file=sys.stderr)
        _forget_output()
        return 2
    except KeyboardInterrupt:
        return 130


def _forget_output() -> None:
    """Keeps the interpreter's own flush at the end quiet."""
    if sys.stdout is None:  # closed from the start
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="signalbox", description="Puts every LLM call where it belongs.")
    parser.add_argument("--version", action="version", version=f"signalbox {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    wanted = next((word for word in arguments if not word.startswith("-")), "")
    if wanted.startswith("_"):
        # A terminal's Ctrl-C and a service manager's SIGTERM reach the gateway's own processes while they load, too.
        # They end when the supervisor says so, or is gone.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    leaf = parser
    for name, (module, line) in VERBS.items():
        if line is argparse.SUPPRESS and name != wanted:
            continue
        sub = verbs.add_parser(name, help=line, description=line)
        if name == wanted:
            verb = _loaded(module)
            verb.arguments(sub)
            sub.set_defaults(run=verb.run)
            leaf = sub
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        leaf.error(f"unrecognized arguments: {' '.join(unknown)}")  # with what this verb takes, not with all verbs
    return int(options.run(options))


def _loaded(module: str) -> ModuleType:
    """A verb with all that it imports, which stays for good: nobody looks for garbage in it, neither now nor later."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()
