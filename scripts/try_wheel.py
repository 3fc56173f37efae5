"""Runs a slice of the tests against the wheel, where there is no `src/`: scripts/try_wheel.py [WHEEL] [TEST ...]"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from build_wheel import ROOT, build, git

# Every layer once, over real sockets, files and processes, in a minute.
SLICE = (
    "tests/wire/test_sse.py",
    "tests/pricing/test_cost.py",
    "tests/policy/test_rules_facts.py",
    "tests/ledger/test_verify.py",
    "tests/gateway/test_endpoints.py",
    "tests/telemetry/test_metrics_page.py",
    "tests/process/test_workers.py::test_every_worker_answers_and_metrics_add_up",
)
_WHERE = "import signalbox, pathlib; print(pathlib.Path(signalbox.__file__).resolve().parent)"


def main(words: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="signalbox-installed-") as temporary:
        root = Path(temporary)
        wheel = Path(words.pop(0)) if words and words[0].endswith(".whl") else build(root / "wheel")
        installed = root / "installed"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(installed)
        for name in git("ls-files", "tests", "pyproject.toml").splitlines():
            (root / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, root / "tree" / name)
        environ = {**os.environ, "PYTHONPATH": str(installed)}
        tree = root / "tree"
        asked = subprocess.run([sys.executable, "-c", _WHERE], cwd=tree, env=environ, capture_output=True, text=True)
        where = asked.stdout.strip()
        if Path(where) != (installed / "signalbox").resolve():
            print(f"The tests would run against {where}, not the wheel.", file=sys.stderr)
            return 1
        tests = words or list(SLICE)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        return subprocess.run(command, cwd=tree, env=environ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
