"""A worker killed, the database restarted twice, clients that leave: every attempt once, and the books agree."""

import json
import subprocess
import sys

import pytest


def test_a_slice_of_everything_that_loses_money_at_once() -> None:
    """`make abuse` does it over four processes and ten thousand calls, and judges what was cut as well."""
    pytest.importorskip("pgserver", reason="pgserver has no wheel for this Python or machine")
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.abuse", "--books-only", "--seed", "3"]
    command += ["--calls", "160", "--workers", "2", "--parallel", "80", "--warm", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ends"]["200"] > 50
    assert [told.split()[0] for told in found["disturbed"]] == ["database", "worker", "database"]
