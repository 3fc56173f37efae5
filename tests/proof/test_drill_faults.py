"""`signalbox drill --faults` on a configuration as an operator writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

CONFIG = """
environments:
  us: {kind: cloud, region: us, operator: OpenAI}
  home: {kind: on-prem, region: eu/de}
deployments:
  mini: {environment: us, preset: openai, model: gpt-5-mini, api_key: "${NOBODY_SET_THIS}"}
  llama: {environment: home, preset: vllm, base_url: "http://10.0.0.1:8000/v1", model: l, price: free}
workloads:
  backed: {placements: [mini, llama], stream_rescue: true}
  alone: {placements: [mini]}
  never: {data: [phi]}
rules:
  - {id: no-phi, when: {data: [phi]}, allow: {any: []}}
"""


def test_every_workload_ends_every_fault_honestly(tmp_path: Path) -> None:
    (tmp_path / "signalbox.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "signalbox", "drill", "--faults", "--calls", "90", "--seed", "5", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    found = json.loads(done.stdout)
    assert (found["calls"], found["dishonest"], found["findings"]) == (90, 0, [])
    assert found["skipped"] == ["never over chat", "never over responses", "never over messages"]
    assert found["workloads"]["backed"]["elsewhere"] > 0
    assert found["workloads"]["alone"]["elsewhere"] == 0
    assert found["workloads"]["alone"]["status"] > 0
    assert done.stderr == ""  # calls that fail are what it is about, and no errors to read
