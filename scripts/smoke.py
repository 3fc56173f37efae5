"""Asks a freshly installed program everything once: scripts/smoke.py SIGNALBOX. It needs nothing but that program.

Starts it without a configuration, so that it serves its simulator; calls three endpoints, streamed and not; reads the
metrics; stops it; verifies the ledger. Prints how long it took to the first answer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from typing import Any

PATHS: dict[str, dict[str, Any]] = {"chat/completions": {}, "messages": {"max_tokens": 64}, "responses": {}}


def main(program: str) -> int:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="signalbox-smoke-") as folder:
        # Nothing of this machine decides what is found: no keys of providers, no proxies.
        environ = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "LANG": "C.UTF-8"}
        command = [program, "serve", "--json", "--port", "0", "--admin-port", "0", "--state-dir", f"{folder}/state"]
        served = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=environ)
        assert served.stdout is not None
        shown = json.loads(served.stdout.readline())
        for path, more in PATHS.items():
            for stream in (False, True):
                answer = call(shown, f"/v1/{path}", stream, more)
                assert answer, path
                if began:
                    print(f"first answer after {time.monotonic() - began:.1f} s")
                    began = 0
        page = urllib.request.urlopen(shown["admin_url"] + "/metrics").read().decode()
        total = sum(
            float(line.rpartition(" ")[2]) for line in page.splitlines() if line.startswith("signalbox_attempts_total{")
        )
        served.terminate()
        code = served.wait(60)
        verified = subprocess.run(
            [program, "ledger", "verify", "--state-dir", f"{folder}/state"], env=environ
        ).returncode
        rows = subprocess.run(
            [program, "ledger", "query", "--json", "--state-dir", f"{folder}/state"],
            env=environ,
            capture_output=True,
            check=True,
        ).stdout.splitlines()
    good = (code, verified, total, len(rows)) == (0, 0, 6, 6)
    print("good" if good else f"exit {code}, verify {verified}, metrics {total}, ledger {len(rows)}")
    return 0 if good else 1


def call(shown: dict[str, Any], path: str, stream: bool, more: dict[str, Any]) -> bytes:
    body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}], "stream": stream, **more}
    if path.endswith("responses"):
        body = {"model": "auto", "input": "Hello", "stream": stream}
    request = urllib.request.Request(
        shown["url"] + path,
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {shown['first_key']}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.read()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
