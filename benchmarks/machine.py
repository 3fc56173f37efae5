"""What the kernel says about processes and about this machine: CPU time, memory, cores, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ROOT = Path(__file__).parent.parent


def session_pids(session: int) -> list[int]:
    """The processes of one session: each subject is started as the leader of its own."""
    pids: list[int] = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = _stat(int(entry))
            if fields and int(fields[3]) == session:
                pids.append(int(entry))
    return pids


def cpu_s(session: int) -> float:
    """User and system seconds spent so far by all processes of a session, those that ended and were waited for too."""
    return sum(process_cpu_s(pid) for pid in session_pids(session))


def process_cpu_s(pid: int) -> float:
    """utime, stime, cutime and cstime: fields 14 to 17 of proc(5), counted from the state in field 3."""
    return sum(int(field) for field in _stat(pid)[11:15]) / TICKS_PER_S


def cpu_by_process(session: int) -> dict[int, tuple[float, float]]:
    """User and system seconds of each process of a session, without those that it waited for."""
    return {
        pid: (int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S)
        for pid in session_pids(session)
        if (fields := _stat(pid))
    }


def stolen_s() -> float:
    """Seconds that the host gave to other guests while this machine wanted to run, over all cores; see proc(5)."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8]) / TICKS_PER_S


def memory_mib(session: int) -> list[float]:
    """The proportional set size of each process of a session: pages that forked workers share count once."""
    sizes: list[float] = []
    for pid in session_pids(session):
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes.append(sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024)
    return sizes


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on (state); the second may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def pin(core: int) -> None:
    os.sched_setaffinity(0, {core})


def describe() -> dict[str, str]:
    """What a reader needs to judge the figures."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
        "cpu": cpu,
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "load_average": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return (git("rev-parse", "--short", "HEAD") or "unknown") + (
        " with local changes" if git("status", "--porcelain", "--", "src") else ""
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
