"""What is measured: each subject with how it is started, when it is ready, and how it is stopped."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import fixtures, machine
from benchmarks.load import body_of

ROOT = machine.ROOT
BENCH_VENV = ROOT / ".venv-bench"


@dataclass
class Plan:
    """Everything needed to start one subject. keys: a file of credentials, None where any will do.

    slow: takes milliseconds of CPU a request, so it is given less to do.
    """

    name: str
    port: int
    command: list[str]
    model: str = "bench-model"
    keys: Path | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    ready_s_max: float = 30.0
    slow: bool = False


class Subject:
    """A running process group on one core, stopped between its turns so that it takes nothing from the others."""

    def __init__(self, plan: Plan, core: int, logs: Path) -> None:
        self.plan = plan
        self.name = plan.name
        self._log = logs / f"{plan.name}.log"
        began = time.perf_counter()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["taskset", "-c", str(core), *plan.command],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | plan.env,
                cwd=self._log.parent,
            )
        self.session = self._process.pid
        self.start_s = self._wait_ready(began)

    def _wait_ready(self, began: float) -> float:
        """Seconds from start to the first good answer."""
        last: object = "no answer"
        while time.perf_counter() - began < self.plan.ready_s_max:
            if self._process.poll() is not None:
                break
            try:
                last = ask(self.plan)
            except OSError as error:
                last = error
            except http.client.HTTPException as error:
                last = error
            if last == 200:
                return time.perf_counter() - began
            time.sleep(0.005)
        self.stop()
        tail = self._log.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{self.name} did not get ready ({last}):\n{tail}")

    def cpu_s(self) -> float:
        return machine.cpu_s(self.session)

    def cpu_by_process(self) -> dict[int, tuple[float, float]]:
        return machine.cpu_by_process(self.session)

    def memory_mib(self) -> list[float]:
        return machine.memory_mib(self.session)

    def pause(self) -> None:
        os.killpg(self.session, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.session, signal.SIGCONT)

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.resume()
            os.killpg(self.session, signal.SIGTERM)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.session, signal.SIGKILL)
            self._process.wait(timeout=10)


def ask(plan: Plan) -> int:
    """The status of one small request."""
    key = plan.keys.open().readline().strip() if plan.keys is not None else "sk-bench"
    connection = http.client.HTTPConnection("127.0.0.1", plan.port, timeout=10)
    try:
        connection.request(
            "POST",
            "/v1/chat/completions",
            body_of(plan.model, 400, stream=False),
            {"content-type": "application/json", "authorization": f"Bearer {key}"},
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status
    finally:
        connection.close()


def upstream(port: int, core: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.upstream", str(port), "--core", str(core)]


def nginx(port: int, upstream_port: int, work: Path) -> Plan:
    """proxy_pass with kept upstream connections, one worker, no logs: the floor that any gateway is compared to."""
    home = work / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "nginx.conf"
    config.write_text(fixtures.nginx_config(port, upstream_port, home))
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if binary is None:
        raise FileNotFoundError("nginx is not installed (apt-get install nginx)")
    return Plan("nginx", port, [binary, "-p", str(home), "-c", str(config), "-e", str(home / "error.log")])


def bare(port: int, upstream_port: int, work: Path) -> Plan:
    env = {"PYTHONPATH": str(ROOT)}
    return Plan("bare", port, [sys.executable, "-m", "benchmarks.bare", str(port), str(upstream_port)], env=env)


def litellm(port: int, upstream_port: int, work: Path) -> Plan:
    """LiteLLM's proxy in its best case: one worker, no database, one master key, logging off."""
    binary = BENCH_VENV / "bin/litellm"
    if not binary.exists():
        raise FileNotFoundError(f"LiteLLM is not installed: see docs/benchmarks.md ({binary})")
    config = work / "litellm.yaml"
    config.write_text(fixtures.litellm_config(upstream_port))
    master = "sk-" + hashlib.sha256(b"signalbox benchmark").hexdigest()
    keys = work / "litellm-keys.txt"
    keys.write_text(master + "\n")
    env = {
        "LITELLM_MASTER_KEY": master,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_TELEMETRY": "False",
    }
    command = [str(binary), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Plan("litellm", port, command, keys=keys, env=env, ready_s_max=120, slow=True)


def signalbox(port: int, upstream_port: int, work: Path) -> Plan:
    """The gateway with its controls on: keys, labels, rules, journal on disk at the default fsync, ledger, metrics."""
    binary = Path(sys.executable).parent / "signalbox"
    if not binary.exists():
        raise FileNotFoundError(f"the gateway is not installed ({binary})")
    config, state = work / "signalbox.yaml", work / "state"
    shutil.rmtree(state, ignore_errors=True)
    config.write_text(fixtures.gateway_config(upstream_port))
    keys = fixtures.make_keys(work / "keys.txt", state)
    command = [str(binary), "serve", "--config", str(config), "--port", str(port), "--admin-port", str(port + 1)]
    return Plan("signalbox", port, [*command, "--state-dir", str(state)], model=fixtures.WORKLOAD, keys=keys)


SUBJECTS: dict[str, Callable[[int, int, Path], Plan]] = {
    "nginx": nginx,
    "bare": bare,
    "signalbox": signalbox,
    "litellm": litellm,
}
