"""The crash benchmark at a small scale: kill -9 in the middle of calls, and the ledger against the provider's bill."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_what_a_crash_cuts_is_priced_close_above_the_truth() -> None:
    # A fifth instead of a tenth: in so short a time the gateway has learnt its deployments from few calls.
    command = [sys.executable, "-m", "benchmarks.crash", "--calls", "100", "--seconds", "5", "--seed", "7"]
    done = subprocess.run([*command, "--over", "0.2"], cwd=ROOT, capture_output=True, check=False)
    figures = json.loads(done.stdout)
    assert figures["wrong"] == [], figures
    assert done.returncode == 0
    assert figures["unknown"] >= 80
    assert figures["settled"] >= 30
