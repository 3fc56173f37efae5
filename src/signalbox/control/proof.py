"""Checks the ledger of this installation, and packs the evidence of it for somebody who was not there.

A pack holds what the compliance page says (as a page and as JSON), the journals up to their last whole line, the
checkpoints over them and the public key. `signalbox ledger verify --public-key KEY --state-dir PACK` checks it with
nothing else; the key that counts is the one the auditor got some other way.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from signalbox.control.state import CHECKPOINTS, JOURNAL, StateDir
from signalbox.core.errors import ConfigError
from signalbox.core.ports import ShipMark
from signalbox.ledger import checkpoint, checkpoint_check, signed_note
from signalbox.ledger.verify import Report, verify_living

PACK_BYTES_MAX = 2 << 30
_CHUNK = 1 << 20
_OWN = (checkpoint.STATEMENTS, checkpoint.NOTES, checkpoint.LATEST, signed_note.PUBLIC)


class TooBig(ConfigError):
    """The journals are more than one download should be."""


class Checkpoint(msgspec.Struct, frozen=True):
    """The newest signed note. public_key: what it is checked with; both empty before the first one."""

    note: str
    public_key: str


def newest_checkpoint(state: StateDir) -> Checkpoint:
    return Checkpoint(
        _text(state.checkpoints / checkpoint.LATEST), _text(state.checkpoints / signed_note.PUBLIC).strip()
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def verified(state: StateDir, shipped: Sequence[ShipMark]) -> Report:
    """Every chain, what the store has seen of it, and what checkpoints signed. It reads all journals: not for the event
    loop."""
    key = newest_checkpoint(state).public_key

    def signed() -> checkpoint_check.Signed | None:
        return checkpoint_check.check(state.checkpoints, signed_note.PublicKey.read(key)) if key else None

    return verify_living(state.journal, shipped, signed)


class Manifest(msgspec.Struct, frozen=True):
    """files: SHA-256 of each other member of the pack."""

    made: str
    version: str
    config_version: str
    public_key: str
    how: str
    files: dict[str, str]


HOW = "Unpack it, then: signalbox ledger verify --public-key 'KEY' --state-dir DIRECTORY"


def write_pack(
    target: IO[bytes], state: StateDir, page: str, document: bytes, made: str, version: str, config_version: str
) -> None:
    """Raises TooBig. page: HTML that needs nothing else. document: the same as JSON."""
    journals = list(_journals(state))
    size = sum(path.stat().st_size for _, path in journals)
    if size > PACK_BYTES_MAX:
        raise TooBig([f"the journals have {size} bytes: copy {state.journal} and {state.checkpoints} instead."])
    hashes: dict[str, str] = {}
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as pack:
        # The checkpoints first: they never vouch for lines that the journals, copied after them, do not have yet.
        for name in _OWN:
            path = state.checkpoints / name
            if path.exists():
                hashes[f"{CHECKPOINTS}/{name}"] = _put(pack, f"{CHECKPOINTS}/{name}", path)
        for name, path in journals:
            hashes[name] = _put(pack, name, path)
        for name, content in (("evidence.html", page.encode()), ("evidence.json", document)):
            pack.writestr(name, content)
            hashes[name] = hashlib.sha256(content).hexdigest()
        key = newest_checkpoint(state).public_key
        manifest = Manifest(made, version, config_version, key, HOW, hashes)
        pack.writestr("manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=1))


def _journals(state: StateDir) -> Iterator[tuple[str, Path]]:
    for path in sorted(state.journal.glob("*/*.log")):
        yield f"{JOURNAL}/{path.parent.name}/{path.name}", path


def _put(pack: zipfile.ZipFile, name: str, path: Path) -> str:
    """A file up to its last whole line, which is all that its writer has finished; returns its SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file, pack.open(name, "w", force_zip64=True) as member:
        held = b""
        while chunk := file.read(_CHUNK):
            whole, newline, rest = (held + chunk).rpartition(b"\n")
            member.write(whole + newline)
            digest.update(whole + newline)
            held = rest
        if not name.startswith(f"{JOURNAL}/"):
            member.write(held)
            digest.update(held)
    return digest.hexdigest()
