"""The crash benchmark at a small scale: kill -9 in the middle of calls, and the ledger against the provider's bill."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def crashed(seed: int) -> dict[str, Any]:
    # A fifth instead of a tenth: in so short a time the gateway has learnt its deployments from few calls.
    command = [sys.executable, "-m", "benchmarks.crash", "--calls", "100", "--seconds", "5", "--seed", str(seed)]
    done = subprocess.run([*command, "--over", "0.2"], cwd=ROOT, capture_output=True, check=False)
    figures: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode == 0) == (figures["wrong"] == [])
    return figures


def test_what_a_crash_cuts_is_priced_close_above_the_truth() -> None:
    """Books are whole every time. How close a bound is hangs on how late everybody comes to their work: on a machine
    that others take away for seconds it says nothing, so one of three crashes has to be close."""
    tried: list[list[str]] = []
    for seed in (7, 8, 9):
        figures = crashed(seed)
        assert figures["unknown"] >= 80
        assert figures["settled"] >= 30
        assert not [reason for reason in figures["wrong"] if "bounds are" not in reason], figures
        tried.append(figures["wrong"])
        if not figures["wrong"]:
            return
    raise AssertionError(tried)
