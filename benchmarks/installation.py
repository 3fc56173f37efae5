"""A gateway and a simulator in processes of their own, for benchmarks that kill, exhaust and count them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "signalbox")
ADMIN = "an-admin-secret-for-benchmarks"
# Deployment -> provider and protocol at the simulator, and the APIs it serves there.
DEPLOYMENTS: dict[str, tuple[str, str, list[str]]] = {
    "chat": ("openai", "openai", ["chat", "completions"]),
    "responses": ("azure", "openai", ["responses"]),
    "messages": ("anthropic", "anthropic", ["messages", "count_tokens"]),
}


class Installation:
    """Both processes over one directory. start and stop what is wanted; close ends everything."""

    def __init__(self, root: Path, settings: dict[str, Any] | None = None) -> None:
        """settings: of the simulator, where they differ from its defaults."""
        self.root = root
        self.state = root / "state"
        self.log = root / "gateway.log"
        words = [*COMMAND, "simulate", "--port", "0", "--json"]
        if settings:
            (root / "simulator.json").write_text(json.dumps(settings))
            words += ["--settings", str(root / "simulator.json")]
        self.simulator = subprocess.Popen(words, stdout=subprocess.PIPE)
        self.simulator_url: str = _first_line(self.simulator)["url"]
        self.gateway: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.admin_url = self.key = ""

    # --- the gateway ---

    def configure(self, models: dict[str, str], server: dict[str, Any] | None = None, **more: Any) -> None:
        """models: name of a workload with one deployment -> one of DEPLOYMENTS and its model, as `chat/sim-small`.
        more: further sections, such as `store`."""
        prices = self.ask_simulator("/sim/prices")["prices"]
        deployments: dict[str, Any] = {}
        for name, target in models.items():
            kind, _, model = target.partition("/")
            provider, protocol, apis = DEPLOYMENTS[kind]
            if model == "sim-embed":
                apis = ["embeddings"]
            price = prices[provider][model.partition("!")[0]]
            deployments[f"{name}-d"] = {
                "environment": "sim",
                "protocol": protocol,
                "base_url": f"{self.simulator_url}/{provider}" + ("" if protocol == "anthropic" else "/v1"),
                "allow_private": True,
                "model": model,
                "price": {unit: float(price[unit]) for unit in price},
                "capabilities": {"apis": apis},
                # Models that always fail are to be met by every call, not only by the first few.
                "health": {"enabled": False},
            }
        config = {
            "environments": {"sim": {"kind": "on-prem", "region": "eu/de"}},
            "deployments": deployments,
            "workloads": {name: {"placements": [f"{name}-d"]} for name in models},
            "server": server or {},
            **more,
        }
        (self.root / "signalbox.yaml").write_text(json.dumps(config))

    def start(self, workers: int = 1) -> dict[str, Any]:
        """Starts the gateway and returns its greeting."""
        words = [*COMMAND, "serve", "--config", str(self.root / "signalbox.yaml"), "--state-dir", str(self.state)]
        words += ["--port", "0", "--admin-port", "0", "--json", "--workers", str(workers)]
        with self.log.open("ab") as log:
            self.gateway = subprocess.Popen(
                words,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "SIGNALBOX_ADMIN_SECRET": ADMIN},
                start_new_session=True,
            )
        shown = _first_line(self.gateway)
        self.port = int(shown["url"].rpartition(":")[2])
        self.admin_url = shown["admin_url"]
        self.key = shown["first_key"] or self.key
        return shown

    def kill(self) -> None:
        """kill -9, workers and all."""
        assert self.gateway is not None
        os.killpg(self.gateway.pid, signal.SIGKILL)
        self.gateway.wait()

    def workers(self) -> list[int]:
        """The processes of the data plane, where there are several."""
        assert self.gateway is not None
        parent = self.gateway.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        return [int(pid) for pid in children if b"\0_worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.gateway is not None
        self.gateway.terminate()
        return self.gateway.wait(60)

    def close(self) -> None:
        for process in (self.gateway, self.simulator):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                process.wait()
                if process.stdout is not None:
                    process.stdout.close()

    # --- what they say ---

    def ask_simulator(self, path: str) -> Any:
        with urllib.request.urlopen(self.simulator_url + path, timeout=60) as answer:
            return json.load(answer)

    def bill(self) -> dict[str, dict[str, Any]]:
        """The simulator's rows by the attempt's id."""
        return {row["client_request_id"]: row for row in self.ask_simulator("/sim/bill")["rows"]}

    def settle_down(self, within_s: float = 10.0) -> None:
        """Waits until the simulator has nothing running: every call stands on its bill."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            page = "".join(self._page(provider) for provider in ("openai", "azure", "anthropic"))
            running = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running")]
            if all(line.endswith(" 0.0") for line in running):
                return
            time.sleep(0.05)
        raise TimeoutError("the simulator still runs calls")

    def _page(self, provider: str) -> str:
        with urllib.request.urlopen(f"{self.simulator_url}/{provider}/metrics", timeout=60) as answer:
            return answer.read().decode()

    def errors_in_log(self) -> list[str]:
        """What operators are told; calls that failed as their provider was made to fail are lines of another kind."""
        lines = self.log.read_text().splitlines()
        return [line[:400] for line in lines if '"level":"error"' in line and '"event":"request"' not in line]

    def metrics(self) -> dict[str, float]:
        """Sums by metric name."""
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=60) as answer:
            lines = answer.read().decode().splitlines()
        sums: dict[str, float] = {}
        for line in lines:
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                name = name.partition("{")[0]
                sums[name] = sums.get(name, 0.0) + float(value)
        return sums

    def cli(self, *words: str) -> list[Any]:
        """A verb's JSON lines; raises when it finds something wrong."""
        done = self.run(*words)
        if done.returncode:
            said = (done.stdout[-4000:] + done.stderr[-4000:]).decode(errors="replace")
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {said}")
        return [json.loads(line) for line in done.stdout.splitlines()]

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """A verb with `--json`, however it ends."""
        where = ["--config", str(self.root / "signalbox.yaml"), "--state-dir", str(self.state)]
        return subprocess.run([*COMMAND, *words, *where, "--json"], capture_output=True, check=False)


def _first_line(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} said nothing and ended with {process.wait()}")
    return json.loads(line)
