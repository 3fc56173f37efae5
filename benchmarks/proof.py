"""The proof that nothing escapes, at length: random calls in one process, broken products, and chaos on real sockets.

    python -m benchmarks.proof [--attempts N] [--seed S] [--calls N] [--only inprocess|mutants|chaos]

The first part takes any number of attempts and prints the rate; each finding names the seed and world that show it
again. Exit 1 when something escaped, something permitted was refused, or a broken product was not found out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from benchmarks.machine import ROOT

PARTS = ("inprocess", "mutants", "chaos")


def main() -> int:
    parser = argparse.ArgumentParser(description="Proves that no byte goes where rules do not permit it.")
    parser.add_argument("--attempts", type=int, default=1_000_000, help="in-process attempts (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=20_000, help="calls over sockets (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the default is another one every time")
    parser.add_argument("--only", choices=PARTS, help="one part instead of all")
    options = parser.parse_args()
    seed = str(options.seed)
    commands = {
        "inprocess": ("proof.inprocess", "--attempts", str(options.attempts), "--seed", seed),
        "mutants": ("proof.mutants",),
        "chaos": ("benchmarks.chaos", "--calls", str(options.calls), "--seed", seed),
    }
    failed = [part for part in PARTS if options.only in (None, part) and _run(part, commands[part])]
    print(f"failed: {', '.join(failed)}" if failed else "nothing escaped")
    return 1 if failed else 0


def _run(part: str, words: tuple[str, ...]) -> int:
    print(f"--- {part}: {' '.join(words)}", flush=True)
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests")))}
    return subprocess.run([sys.executable, "-m", *words], cwd=ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
