"""The store's file under several processes, some of which come and go."""

import subprocess
import sys
from pathlib import Path

from signalbox.control.keys import NewKey, create
from signalbox.store.sqlite import SqliteStore

# Opens the store, makes a key, closes: what every verb of the command line does.
VISIT = """
import sys
from pathlib import Path
from signalbox.control.keys import NewKey, create
from signalbox.store.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
create(store, NewKey("visitor"), bytes(32), 1)
store.close()
"""


def visit(path: Path) -> None:
    subprocess.run([sys.executable, "-c", VISIT, str(path)], check=True)


def test_a_visitor_never_takes_the_log_away(tmp_path: Path) -> None:
    """Two stores in one process (keys and shipper), and another process that believes to close the last connection."""
    path = tmp_path / "signalbox.db"
    first, second = SqliteStore(path), SqliteStore(path)
    before = first.keys_version()
    visit(path)
    assert first.keys_version() == second.keys_version() == before + 1
    visit(path)
    create(second, NewKey("ours"), bytes(32), 1)
    assert first.keys_version() == before + 3
    first.close()
    second.close()
    assert len(SqliteStore(path).list_keys()) == 3, "a write went into a file that was no longer there"


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "signalbox.db"
    store = SqliteStore(path)
    create(store, NewKey("one"), bytes(32), 1)
    modes = {found.name: found.stat().st_mode & 0o777 for found in tmp_path.iterdir()}
    assert modes.keys() == {"signalbox.db", "signalbox.db-wal", "signalbox.db-shm"}
    assert set(modes.values()) == {0o600}
