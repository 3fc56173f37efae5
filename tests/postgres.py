"""A real PostgreSQL server for tests: started once a run, with a fresh schema for every test that asks."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from itertools import count
from pathlib import Path
from urllib.parse import quote

import pytest

_schemas = count(1)


@lru_cache(maxsize=1)
def server_url() -> str:
    """Starts the server at first use. Skips the test where there is no server to be had."""
    pgserver = pytest.importorskip("pgserver", reason="pgserver has no wheel for this Python or machine")
    folder = Path(tempfile.mkdtemp(prefix="signalbox-pg-"))
    os.chmod(folder, 0o755)  # as root the server runs as another user
    server = pgserver.get_server(folder / "data")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.cleanup)
    return str(server.get_uri())


def fresh_url() -> str:
    """The URL of a schema that nobody has used."""
    import psycopg

    name = f"t{os.getpid()}_{next(_schemas)}"
    with psycopg.connect(server_url(), autocommit=True) as connection:
        connection.execute(f'CREATE SCHEMA "{name}"')
    mark = "&" if "?" in server_url() else "?"
    return f"{server_url()}{mark}options={quote(f'-csearch_path={name}')}"
