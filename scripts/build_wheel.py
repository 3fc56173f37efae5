"""Builds the wheel from what git tracks, and nothing else, and looks into it: scripts/build_wheel.py [FOLDER]

Without a network: the build tool comes from the environment, which was installed from the lock. The same commit gives
the same bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("pyproject.toml", "README.md", "LICENSE")
PACKAGE = "src/signalbox/"


class WheelProblem(Exception):
    """The wheel is not what it should be."""


def git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def tracked() -> list[str]:
    """Files of the package as git has them, relative to the root."""
    return [name for name in git("ls-files", PACKAGE).splitlines() if (ROOT / name).exists()]


def build(folder: Path) -> Path:
    """The wheel, in `folder`. Raises WheelProblem."""
    with tempfile.TemporaryDirectory(prefix="signalbox-wheel-") as temporary:
        source = Path(temporary)
        for name in [*SOURCES, *tracked()]:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
        folder.mkdir(parents=True, exist_ok=True)
        environ = {**os.environ, "SOURCE_DATE_EPOCH": git("log", "-1", "--format=%ct").strip(), "PYTHONPATH": ""}
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index"]
        command += ["--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if done.returncode:
            raise WheelProblem(f"it cannot be built:\n{done.stdout}{done.stderr}")
    found = sorted(folder.glob("signalbox-*.whl"), key=lambda path: path.stat().st_mtime)
    inspect(found[-1])
    return found[-1]


def inspect(wheel: Path) -> None:
    """Raises WheelProblem unless its files are exactly those that git tracks, beside pip's own description."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        described = {name.rpartition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
        wanted = {name.removeprefix("src/"): name for name in tracked()}
        if set(names) != wanted.keys():
            more, less = sorted(set(names) - wanted.keys()), sorted(wanted.keys() - set(names))
            raise WheelProblem(f"its files are not git's: more {more}, less {less}")
        differing = [name for name in names if archive.read(name) != (ROOT / wanted[name]).read_bytes()]
    if differing:
        raise WheelProblem(f"files differ from the tree: {differing}")
    if odd := described - {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "LICENSE"}:
        raise WheelProblem(f"it holds files that nobody asked for: {sorted(odd)}")


if __name__ == "__main__":
    try:
        print(build(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"))
    except WheelProblem as problem:
        print(f"The wheel: {problem}", file=sys.stderr)
        sys.exit(1)
