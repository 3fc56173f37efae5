"""Takes every new checkpoint to an object store, beside everything else: nothing waits for it, and it tries again.

An object a note, never written twice with other content. Names count down, so that a listing begins with the newest:

    <prefix>/<public key's name>/999999999987-12.note      the note over the first 12 statements
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from signalbox.control.object_store import Bucket, ObjectStore, Refused
from signalbox.ledger import checkpoint, signed_note

EVERY_S = 1.0
PAUSE_S_MAX = 60.0
LAST_TRY_S = 5.0
_TOP = 10**12 - 1
# So many of the newest notes are asked for when a ledger is verified: older ones say nothing that these do not.
READ_MAX = 20


class Anchoring:
    """Puts the newest note of a directory where it is not yet. error: why the last try failed, empty when it did
    not."""

    def __init__(self, directory: Path, bucket: Bucket) -> None:
        """Raises AddressProblem and ValueError for an address that cannot be used."""
        self._latest = directory / checkpoint.LATEST
        self._store = ObjectStore(bucket)
        self._put: str = ""
        self.error = ""

    async def run(self) -> None:
        """For ever. A try that failed is made again after a pause that grows; then it is the newest note that goes."""
        pause_s = EVERY_S
        while True:
            await self.once()
            pause_s = min(pause_s * 2, PAUSE_S_MAX) if self.error else EVERY_S
            await asyncio.sleep(pause_s)

    async def once(self) -> None:
        """Never raises for an object store that fails."""
        try:
            note = self._latest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return  # none yet
        if note == self._put:
            return
        try:
            await self._store.put(name_of(note), note.encode(), datetime.now(UTC))
        except (Refused, ValueError) as error:
            self.error = str(error)
            return
        self._put, self.error = note, ""

    async def close(self) -> None:
        """Once more, for a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_TRY_S):
                await self.once()
        self._store.close()


def name_of(note: str) -> str:
    """Raises ValueError for what is no note."""
    lines = note.split("\n")
    if len(lines) < 3 or not lines[1].isdecimal() or not lines[0].startswith(f"{signed_note.ORIGIN_PREFIX}/"):
        raise ValueError("this is no checkpoint")
    size = int(lines[1])
    return f"{lines[0]}/{_TOP - size:012d}-{size}.note"


async def anchored(bucket: Bucket) -> list[bytes]:
    """The newest notes, each as a line, as checkpoint_check.check takes them. Raises Refused."""
    store = ObjectStore(bucket)
    now = datetime.now(UTC)
    try:
        names = [name for name in await store.names(now) if name.endswith(".note")]
        notes = [await store.get(name, now) for name in names[:READ_MAX]]
    finally:
        store.close()
    return [msgspec.json.encode(note.decode("utf-8", "replace")) + b"\n" for note in notes]
