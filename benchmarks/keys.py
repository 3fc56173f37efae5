"""Makes many virtual keys in one process, because one start of the command for each would take an hour.

Run: python -m benchmarks.keys STATE_DIR OUT_FILE COUNT.
"""

from __future__ import annotations

import sys
from pathlib import Path

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.storage import open_store
from signalbox.control.keys import NewKey, create
from signalbox.control.state import StateDir


def main() -> None:
    state, out, count = StateDir(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    store = open_store(state)
    try:
        pepper = state.pepper()
        made = [create(store, NewKey(name=f"bench {index}"), pepper, now_ms())[1] for index in range(count)]
    finally:
        store.close()
    out.write_text("".join(f"{key.reveal()}\n" for key in made))


if __name__ == "__main__":
    main()
