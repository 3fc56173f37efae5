"""A slice of the chaos that `make proof` runs for 20,000 calls, and whether its judge sees what it is there to see."""

from __future__ import annotations

import subprocess
import sys

import pytest

from proof.chaos import chaos
from proof.mutants import MUTANTS, broken

CALLS = 300


async def test_nothing_escapes_while_everything_changes() -> None:
    report = await chaos(CALLS, seed=20260615)
    assert report.good, "\n".join(report.findings)
    assert report.calls == CALLS
    assert report.requests > CALLS / 3
    assert report.reloads > 3
    assert report.statuses[200] > CALLS / 10
    assert report.statuses[400] > CALLS / 20
    assert report.left > CALLS / 20
    assert {"settled", "failed", "unknown", "cancelled"} <= report.states.keys()


@pytest.mark.parametrize("mutant", ["interlock of a stale snapshot", "placements ignored"])
def test_a_broken_product_is_found_out_over_sockets_too(mutant: str) -> None:
    with broken(next(each for each in MUTANTS if each.name == mutant)) as environ:
        words = [sys.executable, "-m", "proof.chaos", "--calls", "600", "--seed", "3"]
        done = subprocess.run(words, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "escapes (seed 3): sent to" in done.stdout
