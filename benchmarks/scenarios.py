"""The published sixteen: `python -m benchmarks.scenarios`; tests/scenarios/published.py does it."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.machine import ROOT


def main() -> int:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT / "tests")))}
    words = [sys.executable, "-m", "scenarios.published", *sys.argv[1:]]
    return subprocess.run(words, cwd=ROOT, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
