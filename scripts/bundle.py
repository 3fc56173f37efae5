"""Puts everything an installation without a network needs into one archive: scripts/bundle.py [FOLDER]

Wheels for this platform and this Python with their locks, our own wheel, the bill of materials, and `install.sh`, which
installs with hashes checked, migrates, and checks that what it installed answers. Needs the network (or a warm cache)
itself; what it makes does not.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path

from build_wheel import build
from locks import ROOT, RUNTIME

INSTALL = """#!/bin/sh
# Installs Signalbox from this folder, without a network: sh install.sh PREFIX [STATE_DIR]
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
PREFIX=${1:?"usage: sh install.sh PREFIX [STATE_DIR]"}
PYTHON=${PYTHON:-python3}
(cd "$HERE" && sha256sum --quiet --check SHA256SUMS)
"$PYTHON" -m venv "$PREFIX"
PIP="$PREFIX/bin/python -m pip --disable-pip-version-check --isolated install --quiet"
PIP="$PIP --no-index --find-links $HERE/wheels"
for LOCK in @LOCKS@; do $PIP --require-hashes --no-deps -r "$HERE/$LOCK"; done
$PIP --no-deps "$HERE"/wheels/signalbox-*.whl
if [ "${2:-}" ]; then "$PREFIX/bin/signalbox" migrate --state-dir "$2"; fi
"$PREFIX/bin/signalbox" --version
"""
SMOKE = """#!/bin/sh
# Starts what install.sh installed with the built-in simulator, and asks it once: sh smoke.sh PREFIX
set -eu
PREFIX=$(cd "${1:?"usage: sh smoke.sh PREFIX"}" && pwd)
exec "$PREFIX/bin/python" "$(dirname "$0")/smoke.py" "$PREFIX/bin/signalbox"
"""


def main(folder: Path) -> Path:
    """Returns the archive."""
    tag = f"{sysconfig.get_platform()}-cp{sys.version_info.major}{sys.version_info.minor}".replace("linux-", "linux_")
    with tempfile.TemporaryDirectory(prefix="signalbox-bundle-") as temporary:
        root = Path(temporary) / "signalbox-bundle"
        wheels = root / "wheels"
        wheels.mkdir(parents=True)
        own = build(wheels)
        for lock in RUNTIME:
            shutil.copyfile(ROOT / lock, root / lock)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--require-hashes", "--only-binary", ":all:", "--dest", str(wheels), "-r", str(ROOT / lock)]
            subprocess.run(command, check=True)
        subprocess.run([sys.executable, ROOT / "scripts/sbom.py", root / "signalbox.cdx.json"], check=True)
        (root / "install.sh").write_text(INSTALL.replace("@LOCKS@", " ".join(RUNTIME)))
        (root / "smoke.sh").write_text(SMOKE)
        for name in ("scripts/smoke.py", "LICENSE", "CHANGELOG.md", "docs/operate.md"):
            shutil.copyfile(ROOT / name, root / Path(name).name)
        shutil.copytree(ROOT / "deploy", root / "deploy")
        _sum(root)
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{own.name.split('-py3')[0]}-{tag}.tar.gz"
        with tarfile.open(target, "w:gz") as archive:
            archive.add(root, arcname=root.name)
    return target


def _sum(root: Path) -> None:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(root)}" for path in files]
    (root / "SHA256SUMS").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    print(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"))
