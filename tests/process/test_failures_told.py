"""Why a call could not be served: the caller is told where it failed, the log and the ledger what exactly happened."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from installation import COMMAND, PATHS, Served, body_of, installation

APIS = ("chat", "responses", "messages")
# Where the provider is, or what it does; what the caller reads, the log and the ledger.
FAILURES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "nobody-listens": ({"base_url": "http://127.0.0.1:9"}, "(far: connect)", "far: connect (", "error=connect"),
    "no-such-name": ({"base_url": "https://gateway.invalid"}, "(far: dns)", "far: dns (", "error=dns"),
    "not-tls": ({"base_url": "https"}, "(far: tls)", "far: tls (", "error=tls"),
    "wrong-key": ({"fault": "401"}, "(far: 401)", "far: status 401", "status=401"),
    "no-such-model": ({"fault": "404"}, "look at `base_url` and `model`", "far: status 404", "status=404"),
    "a-page": ({"fault": "html"}, "(far: protocol)", "far: protocol (the upstream's answer", "error=protocol"),
    "hangs-up": ({"fault": "close"}, "(far: reset)", "far: reset (http://127.0.0.1:", "error=reset"),
    "silent": (
        {"fault": "hang", "timeouts": {"headers_s": 0.5}},
        "(far: headers_timeout)",
        "far: headers_timeout",
        "error=headers_timeout",
    ),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_what_failed_is_told_to_the_caller_in_the_log_and_by_the_ledger(name: str, tmp_path: Path) -> None:
    changed, said, logged, booked = FAILURES[name]
    async with installation(tmp_path) as served:
        _configure(served, dict(changed))
        await served.start()
        for api in APIS:
            answer = await served.request(PATHS[api], body_of(api, "far-work", "Say nothing of 4711"))
            assert answer.status in (502, 503, 504)
            assert said in json.dumps(answer.json), api
            line = next(one for one in reversed(served.stderr().splitlines()) if '"event":"request"' in one)
            told = json.loads(line)["failures"]
            assert logged in told
            assert "4711" not in told
        rows = subprocess.run(
            [*COMMAND, "ledger", "query", "--state-dir", str(served.state.root)], capture_output=True, check=True
        )
        lines = rows.stdout.decode().splitlines()
        assert len(lines) >= len(APIS)
        assert all(line.endswith(booked) or f"{booked}  error=" in line for line in lines)


def _configure(served: Served, changed: dict[str, Any]) -> None:
    """One deployment, which is asked by every API and never left alone."""
    far = {**served.config["deployments"]["chat"], "health": {"enabled": False}}
    if changed.get("base_url") == "https":
        changed["base_url"] = far["base_url"].replace("http:", "https:")
    fault = changed.pop("fault", None)
    if fault is not None:
        served.sim.fault(fault, provider="openai")
    served.config["deployments"] = {"far": {**far, **changed}}
    served.config["workloads"] = {"far-work": {"placements": ["far"], "retries": {"max_attempts": 1}}}
