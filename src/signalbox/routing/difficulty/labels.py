"""Labels that the gateway made itself: a bounded file of sealed features and outcomes, without anybody's words.

One row is one question that two models answered: its features as the head reads them, how good each answer was, and the
probability with which it was drawn. Texts are not kept, hashes of their pieces are; each row is sealed under the
installation's secret.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Generator
from hashlib import blake2b
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.core.errors import StoreError
from signalbox.core.tiering import FEATURES_VERSION
from signalbox.embedding.extras import numpy
from signalbox.routing.difficulty.features import Asked, Features
from signalbox.routing.difficulty.rows import Labelled, is_cal

# Of one workload; the oldest go first.
ROWS_MAX = 5_000
_NONCE_BYTES = 12
_BUSY_S = 2.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
    number INTEGER PRIMARY KEY AUTOINCREMENT, workload TEXT NOT NULL, weak TEXT NOT NULL, strong TEXT NOT NULL,
    at_ms INTEGER NOT NULL, sealed BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS labels_of ON labels (workload, weak, strong, number);
"""


class Label(msgspec.Struct, frozen=True, array_like=True):
    """text: a keyed hash of the question, so that equal ones are known. outcomes: of the weak and the strong one.
    encoder, vector: the meaning of the question, as 16-bit floats, and whose it is; empty where none was asked."""

    version: int
    text: str
    dense: tuple[float, ...]
    grams: list[int]
    words: list[int]
    gram_scale: float
    word_scale: float
    outcomes: tuple[float, float]
    propensity: float
    encoder: str = ""
    vector: bytes = b""


class LabelBook:
    """The file of one installation. Used from any thread; each use opens it."""

    def __init__(self, path: Path, pepper: bytes) -> None:
        self._path = path
        self._secret = blake2b(pepper, digest_size=32, person=b"shadow labels").digest()

    def add(
        self,
        workload: str,
        pair: tuple[str, str],
        found: Features,
        outcomes: tuple[float, float],
        propensity: float,
        at_ms: int,
        encoder: str = "",
    ) -> None:
        """encoder: whose vector the features hold, if any. Raises StoreError when the file cannot be written."""
        text = blake2b(found.text.encode("utf-8", "replace"), digest_size=16, key=self._secret).hexdigest()
        label = Label(
            FEATURES_VERSION,
            text,
            found.dense,
            sorted(found.grams),
            sorted(found.words),
            found.gram_scale,
            found.word_scale,
            outcomes,
            propensity,
            encoder,
            b"" if found.vector is None else found.vector.astype("<f2").tobytes(),
        )
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(self._secret).encrypt(nonce, msgspec.msgpack.encode(label), workload.encode())
        with self._open() as connection, connection:
            connection.execute(
                "INSERT INTO labels (workload, weak, strong, at_ms, sealed) VALUES (?, ?, ?, ?, ?)",
                (workload, *pair, at_ms, sealed),
            )
            connection.execute(
                "DELETE FROM labels WHERE workload = ? AND number <= "
                "(SELECT number FROM labels WHERE workload = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (workload, workload, ROWS_MAX),
            )

    def pairs(self, workload: str) -> dict[tuple[str, str], int]:
        """The pairs of deployments that were compared for a workload, each with its number of rows. Raises
        StoreError."""
        asked = "SELECT weak, strong, COUNT(*) FROM labels WHERE workload = ? GROUP BY 1, 2 ORDER BY 3 DESC"
        with self._open() as connection:
            return {(weak, strong): count for weak, strong, count in connection.execute(asked, (workload,))}

    def read(self, workload: str, pair: tuple[str, str], encoder: str = "") -> list[Labelled]:
        """What was learnt of a pair; rows of another version of the features, or sealed under another secret, are left
        out, and those without a vector of the encoder that is named. Raises StoreError."""
        asked = "SELECT sealed FROM labels WHERE workload = ? AND weak = ? AND strong = ? ORDER BY number"
        rows: list[Labelled] = []
        with self._open() as connection:
            for (sealed,) in connection.execute(asked, (workload, *pair)):
                label = self._unsealed(workload, sealed)
                if label is not None and (not encoder or label.encoder == encoder):
                    rows.append(_labelled(label, vector=bool(encoder)))
        return rows

    def _unsealed(self, workload: str, sealed: bytes) -> Label | None:
        cipher = AESGCM(self._secret)
        try:
            plain = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], workload.encode())
            label = msgspec.msgpack.decode(plain, type=Label)
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            return None
        return label if label.version == FEATURES_VERSION else None

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            self._path.touch(mode=0o600)
            with contextlib.closing(sqlite3.connect(self._path, timeout=_BUSY_S)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
                yield connection
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"the file of labels cannot be used: {error}") from None


def _labelled(label: Label, *, vector: bool) -> Labelled:
    found = Features(label.text, label.dense, set(label.grams), set(label.words), label.gram_scale, label.word_scale)
    meaning = numpy().frombuffer(label.vector, dtype="<f2").astype("float32") if vector else None
    return Labelled(Asked(label.text), label.outcomes, label.propensity, is_cal(label.text), found, meaning)
