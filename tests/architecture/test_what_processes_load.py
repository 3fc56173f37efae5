"""What each process has loaded before anybody asks anything of it: memory and time that every start pays."""

from __future__ import annotations

import subprocess
import sys

import pytest

CONSOLE = ("jinja2", "starlette", "uvicorn", "signalbox.console", "signalbox.bootstrap.console")
ECONOMICS = ("numpy", "scipy", "pyarrow", "signalbox.planner")


@pytest.mark.parametrize(
    ("verb", "never"),
    [
        ("worker", (*CONSOLE, *ECONOMICS, "signalbox.simulator", "psycopg", "signalbox.cli.serve")),
        ("serve", (*CONSOLE, *ECONOMICS)),
        ("ship", (*CONSOLE, *ECONOMICS, "yaml", "signalbox.config.load", "signalbox.pricing", "signalbox.gateway")),
        ("export", (*CONSOLE, *ECONOMICS, "yaml", "sqlite3", "signalbox.config.load", "signalbox.gateway")),
    ],
)
def test_a_process_loads_only_what_it_needs(verb: str, never: tuple[str, ...]) -> None:
    said = f"import sys; import signalbox.cli.{verb}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, timeout=120, check=True)
    assert not set(done.stdout.split()) & set(never)


def test_what_is_behind_the_door_can_be_loaded() -> None:
    said = "from signalbox.bootstrap import console; print(console.server_of.__name__)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "server_of"
