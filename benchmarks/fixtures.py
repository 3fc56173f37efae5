"""The configurations of the subjects: 200 deployments, 500 rules and 10,000 keys for the gateway, minimal for peers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import ROOT

DEPLOYMENTS = 200
RULES = 500
ENVIRONMENTS = 20
WORKLOADS = 50
KEYS = 10_000
WORKLOAD = "bench-chat"

_TAGS = ("personal", "financial", "source-code", "legal", "phi", "pci", "government", "children")
_REGULATIONS = ("gdpr", "hipaa", "pci-dss", "dora", "eu-ai-act", "sr-11-7")
_REGIONS = ("eu/de", "eu/fr", "eu/ie", "us/east", "us/west", "asia/jp")


def gateway_config(upstream_port: int) -> str:
    """A configuration of the size of a large organisation, as JSON, which is YAML too.

    The measured workload carries confidential personal data under GDPR, so about a third of the rules apply to each
    call and restrict it to Europe; all deployments lead to the same fake upstream.
    """
    environments = {
        f"env-{i:02d}": {
            "kind": "on-prem" if i % 4 == 0 else "private-cloud",
            "region": _REGIONS[i % len(_REGIONS)],
            "operator": f"operator-{i % 7}",
            "jurisdiction": "eu" if i % len(_REGIONS) < 3 else "us",
            "attests": ["baa", "dpa", "soc2"] if i % 2 else ["dpa", "soc2", "no-training"],
        }
        for i in range(ENVIRONMENTS)
    }
    deployments = {
        f"model-{i:03d}": {
            "environment": f"env-{i % ENVIRONMENTS:02d}",
            "protocol": "openai",
            "base_url": f"http://127.0.0.1:{upstream_port}/v1",
            "model": "bench-model",
            "price": {"input_mtok": 0.15, "cache_read_mtok": 0.075, "output_mtok": 0.6},
        }
        for i in range(DEPLOYMENTS)
    }
    workloads: dict[str, object] = {
        # Classes are declared here; what detecting them adds is measured by benchmarks/classify.py.
        WORKLOAD: {
            "data": ["confidential", "personal"],
            "regulations": ["gdpr"],
            "placements": [],
            "classify": {"detectors": "off"},
        }
    }
    for i in range(WORKLOADS - 1):
        workloads[f"task-{i:02d}"] = {"data": ["internal"], "placements": [f"model-{i:03d}", f"model-{i + 50:03d}"]}
    return json.dumps(
        {
            "environments": environments,
            "deployments": deployments,
            "workloads": workloads,
            "default_workload": WORKLOAD,
            "rules": [_rule(i) for i in range(RULES)],
        },
        indent=1,
    )


def _rule(i: int) -> dict[str, object]:
    allow: dict[str, object]
    if i % 3 == 0:
        when: dict[str, object] = {"data": ["personal"], "regulations": ["gdpr", _REGULATIONS[i % 6]]}
        allow = {"any": [{"region": ["eu"]}, {"attests": ["scc", f"extra-{i}"]}]}
    elif i % 3 == 1:
        when = {"data": [_TAGS[i % len(_TAGS)]], "level": "restricted"}
        allow = {"any": [{"attests": ["baa"]}, {"kind": ["on-prem", "edge"]}]}
    else:
        when = {"workloads": [f"task-{i % (WORKLOADS - 1):02d}"]}
        allow = {"not": {"region": ["asia"]}}
    return {"id": f"rule-{i:03d}", "when": when, "allow": allow, "source": f"policy document, section {i}"}


def make_keys(path: Path, state: Path) -> Path:
    """A file with KEYS virtual keys, one a line, known to the gateway whose state lies in `state`."""
    words = [sys.executable, "-m", "benchmarks.keys", str(state), str(path), str(KEYS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"the gateway's keys could not be made: {done.stderr[-2000:]}")
    return path


def nginx_config(port: int, upstream_port: int, home: Path) -> str:
    return f"""daemon off;
user root;
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  client_body_temp_path {home}/body;
  proxy_temp_path {home}/proxy;
  fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi;
  scgi_temp_path {home}/scgi;
  tcp_nodelay on;
  keepalive_requests 100000000;
  client_max_body_size 64m;
  client_body_buffer_size 8m;
  upstream fake {{ server 127.0.0.1:{upstream_port}; keepalive 2048; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://fake;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
"""


def litellm_config(upstream_port: int) -> str:
    return json.dumps(
        {
            "model_list": [
                {
                    "model_name": "bench-model",
                    "litellm_params": {
                        "model": "openai/bench-model",
                        "api_base": f"http://127.0.0.1:{upstream_port}/v1",
                        "api_key": "sk-fake",
                    },
                }
            ],
            "litellm_settings": {"telemetry": False, "num_retries": 0, "set_verbose": False},
            "general_settings": {"disable_spend_logs": True},
        }
    )
