"""Signed checkpoints: what the heads of all chains were, in a Merkle tree whose root is signed with Ed25519.

    <state>/checkpoints/statements.log   one JSON line each: which chains had grown, up to which line, with which hash
    <state>/checkpoints/notes.log        one JSON string a line: a signed note over the tree of all statements so far
    <state>/checkpoints/latest           the last note as plain text
    <state>/checkpoints/key              the private key, made at first use; its public half is in `key.pub`
    <state>/checkpoints/lock             held (flock) by the one process that writes here

The notes are C2SP tlog-checkpoints (c2sp.org/tlog-checkpoint over c2sp.org/signed-note): origin, number of statements,
base64 of the RFC 6962 tree hash. Whoever keeps a note elsewhere (`anchor`) can tell later whether the log was rolled
back or forked since, because a tree of that size must still have that root.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signalbox.core.errors import LedgerError
from signalbox.core.ports import ShipMark
from signalbox.ledger.chain import ChainLock

STATEMENTS, NOTES, LATEST, KEY, PUBLIC = "statements.log", "notes.log", "latest", "key", "key.pub"
ORIGIN_PREFIX = "signalbox.ledger"
_ED25519 = b"\x01"
_DASH = "\u2014"
LINE_BYTES_MAX = 1 << 20


class Head(msgspec.Struct, frozen=True, array_like=True):
    """Where a chain was: its line `seq` had this hash."""

    chain: str
    seq: int
    hash: str


class Cut(msgspec.Struct, frozen=True, array_like=True):
    """What was old was taken away, and said so before: the chain begins with this segment now, behind line `seq`, which
    had this hash."""

    chain: str
    segment: int
    seq: int
    hash: str


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The chains that grew since the statement before, and those that were cut."""

    time_ms: int
    heads: tuple[Head, ...]
    cuts: tuple[Cut, ...] = ()


class Note(msgspec.Struct, frozen=True):
    """A checkpoint whose signature was checked."""

    origin: str
    size: int
    root: bytes


_encode = msgspec.json.Encoder().encode
_statement = msgspec.json.Decoder(Statement).decode
_text = msgspec.json.Decoder(str).decode


# --- the tree (RFC 6962, section 2.1)


class Tree:
    """The root of an append-only tree, from the complete subtrees on its right edge."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        node = hashlib.sha256(b"\x00" + leaf).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(b"\x01" + self._edge.pop() + node).digest()
            size >>= 1
        self._edge.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self._edge:
            return hashlib.sha256(b"").digest()
        node = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


# --- signed notes


class PublicKey:
    """The key that notes are checked with, in the form of c2sp.org/signed-note: `name+id+base64`."""

    def __init__(self, name: str, raw: bytes) -> None:
        self.name = name
        self._raw = raw
        self.id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """Raises ValueError when it is none."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        key = cls(name, raw[1:])
        if not name or len(raw) != 33 or raw[:1] != _ED25519 or key.id.hex() != identity:
            raise ValueError("this is no public key of checkpoints (name+id+base64)")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self._raw).decode()}"

    def open(self, note: str) -> Note | None:
        """What a note says, or None unless this very key signed it."""
        text, blank, signatures = note.partition("\n\n")
        if not blank:
            return None
        signed = f"{text}\n".encode()
        for line in signatures.splitlines():
            parts = line.split(" ")
            if len(parts) == 3 and parts[0] == _DASH and parts[1] == self.name and self._made(parts[2], signed):
                return _read_text(text, self.name)
        return None

    def _made(self, encoded: str, signed: bytes) -> bool:
        try:
            raw = base64.b64decode(encoded, validate=True)
            if raw[:4] != self.id:
                return False
            Ed25519PublicKey.from_public_bytes(self._raw).verify(raw[4:], signed)
        except (binascii.Error, InvalidSignature, ValueError):
            return False
        return True


def _read_text(text: str, origin: str) -> Note | None:
    lines = text.split("\n")
    if len(lines) < 3 or lines[0] != origin or not lines[1].isdecimal() or (lines[1][0] == "0" and lines[1] != "0"):
        return None
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        return None
    return Note(origin, int(lines[1]), root) if len(root) == 32 else None


class Signer:
    """The private half, kept in a file that only its owner may read."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes_raw()
        self.public = PublicKey(f"{ORIGIN_PREFIX}/{hashlib.sha256(raw).hexdigest()[:16]}", raw)

    @classmethod
    def of(cls, directory: Path) -> Signer:
        """The key of a directory, made when there is none."""
        path = directory / KEY
        if not path.exists():
            _create_private(path, Ed25519PrivateKey.generate())
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise LedgerError(f"{path} holds no Ed25519 key")
        signer = cls(key)
        public = directory / PUBLIC
        if not public.exists():
            public.write_text(f"{signer.public}\n", encoding="ascii")
        return signer

    def sign(self, size: int, root: bytes) -> str:
        text = f"{self.public.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.public.id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH} {self.public.name} {signature}\n"


def _create_private(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    # When another process made one first, that one holds.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    os.unlink(fresh)


# --- writing


class Busy(LedgerError):
    """Another process writes the checkpoints."""


class CheckpointLog:
    """Writes statements and notes. One at a time, in all processes: two would each sign a history without the other's
    statements, and the log would look forked for ever."""

    def __init__(self, directory: Path, anchor: Path | None = None) -> None:
        """anchor: a file elsewhere to which every note is appended too. Raises Busy, LedgerError."""
        self._directory = directory
        self._anchor = anchor
        self._lock: ChainLock | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = ChainLock(directory)
            self._signer = Signer.of(directory)
            self._tree = Tree()
            self._known: dict[str, int] = {}
            self.cuts: dict[str, Cut] = {}
            self._read_back()
        except BlockingIOError:
            raise Busy(f"checkpoints {directory} are written by another process") from None
        except (OSError, ValueError) as error:
            self.close()
            raise LedgerError(f"checkpoints {directory} cannot be used: {error}") from error

    def close(self) -> None:
        """Lets others write. Safe to call twice."""
        if self._lock is not None:
            self._lock.release()

    def _read_back(self) -> None:
        path = self._directory / STATEMENTS
        end = 0
        for line in _lines(path):
            if not line.endswith(b"\n"):
                break
            self._tree.append(line[:-1])
            statement = _statement(line)
            self._known.update({head.chain: head.seq for head in statement.heads})
            self.cuts.update({cut.chain: cut for cut in statement.cuts})
            end += len(line)
        if path.exists() and path.stat().st_size > end:
            os.truncate(path, end)  # what a crash left of a statement that no note covers
        for notes in (self._directory / NOTES, *([self._anchor] if self._anchor is not None else [])):
            _drop_torn(notes)

    @property
    def public(self) -> PublicKey:
        return self._signer.public

    def write(self, marks: Iterable[ShipMark], time_ms: int, cuts: Iterable[Cut] = ()) -> bool:
        """A statement and a note over it, when some chain has grown or is to be cut; False when none. Raises OSError;
        then nothing may be cut."""
        heads = tuple(Head(m.chain, m.seq, m.hash) for m in marks if m.seq > self._known.get(m.chain, 0))
        new = tuple(cut for cut in cuts if cut.chain not in self.cuts or self.cuts[cut.chain].segment < cut.segment)
        if not heads and not new:
            return False
        leaf = _encode(Statement(time_ms, heads, new))
        _append(self._directory / STATEMENTS, leaf + b"\n")
        self._tree.append(leaf)
        self._known.update({head.chain: head.seq for head in heads})
        note = self._signer.sign(self._tree.size, self._tree.root())
        line = _encode(note) + b"\n"
        _append(self._directory / NOTES, line)
        fresh = self._directory / f".{LATEST}"
        fresh.write_text(note, encoding="utf-8")
        fresh.replace(self._directory / LATEST)
        self.cuts.update({cut.chain: cut for cut in new})
        if self._anchor is not None:
            _append(self._anchor, line)
        return True


def _drop_torn(path: Path) -> None:
    """Cuts off what a crash left of a line, which the next one would otherwise be appended to."""
    whole = size = 0
    for line in _lines(path):
        size += len(line)
        whole = size if line.endswith(b"\n") else whole
    if size > whole:
        with contextlib.suppress(OSError):  # storage that only grows
            os.truncate(path, whole)


def _append(path: Path, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(f"{path}: written only in part")
        os.fsync(fd)
    finally:
        os.close(fd)


# --- checking


class Problem(msgspec.Struct, frozen=True):
    """What is wrong with the checkpoints. place: the number of the note or statement, from 1."""

    kind: str
    message: str
    place: int = 0


class Signed(msgspec.Struct, frozen=True):
    """What the checkpoints vouch for. heads: chain -> line -> hash, of the statements that a good note covers. cuts:
    where chains begin that were cut, by chain."""

    notes: int
    statements: int
    heads: Mapping[str, Mapping[int, str]]
    problems: tuple[Problem, ...]
    cuts: Mapping[str, Cut]


def check(directory: Path, key: PublicKey, anchors: Mapping[str, Iterable[bytes]] | None = None) -> Signed:
    """Reads all notes against the tree of the statements, offline. anchors: notes kept elsewhere, each as a line, by
    the name of the place."""
    problems: list[Problem] = []
    anchored: dict[int, bytes] = {}
    # Before the notes here: whoever writes meanwhile writes those first.
    for name, lines in (anchors or {}).items():
        anchored |= dict(_good_notes(lines, key, f"anchored note of {name}", problems))
    notes = _good_notes(_lines(directory / NOTES), key, "note", problems)
    size = max(notes, default=0)
    roots, statements = _roots(directory / STATEMENTS, {*notes, *anchored}, size, problems)
    for number, root in sorted(notes.items()):
        if number not in roots:
            what = f"a note covers {number} statements, there are {len(statements)}"
            problems.append(Problem("truncated", what, number))
        elif roots[number] != root:
            what = f"the first {number} statements are not those that were signed"
            problems.append(Problem("statements_altered", what, number))
    for number, root in sorted(anchored.items()):
        if number > size:
            what = f"the anchor has seen {number} statements, the notes here cover {size}: this is an older state"
            problems.append(Problem("rollback", what, number))
        elif number in roots and roots[number] != root:
            what = f"the anchor has seen another history of {number} statements, signed with the same key"
            problems.append(Problem("fork", what, number))
    if not notes:
        problems.append(Problem("unsigned", "there is no note that this key signed"))
    good = max((number for number, root in notes.items() if roots.get(number) == root), default=0)
    heads: dict[str, dict[int, str]] = {}
    cuts: dict[str, Cut] = {}
    for statement in statements[:good]:
        for head in statement.heads:
            heads.setdefault(head.chain, {})[head.seq] = head.hash
        cuts.update({cut.chain: cut for cut in statement.cuts})
    return Signed(len(notes), good, heads, tuple(problems), cuts)


def read_notes(path: Path) -> list[bytes]:
    """Notes of an anchor, each as a line. Raises OSError."""
    with path.open("rb") as file:
        return file.readlines()


def _good_notes(lines: Iterable[bytes], key: PublicKey, what: str, problems: list[Problem]) -> dict[int, bytes]:
    """Size to root of the notes that the key signed."""
    good: dict[int, bytes] = {}
    for place, line in enumerate(lines, start=1):
        if not line.endswith(b"\n"):
            break  # being written, or what a crash left: the statements that it was about are without a note
        try:
            note = key.open(_text(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            note = None
        if note is None:
            problems.append(Problem("unsigned", f"{what} {place} is not signed by this key", place))
        elif good.setdefault(note.size, note.root) != note.root:
            problems.append(Problem("fork", f"{what} {place}: two histories of {note.size} statements", place))
    return good


def _roots(
    path: Path, wanted: set[int], signed: int, problems: list[Problem]
) -> tuple[dict[int, bytes], list[Statement]]:
    """The tree's root at every wanted size, and the statements."""
    tree, roots, statements = Tree(), {0: Tree().root()}, list[Statement]()
    for line in _lines(path):
        if not line.endswith(b"\n"):
            break
        tree.append(line[:-1])
        if tree.size in wanted:
            roots[tree.size] = tree.root()
        try:
            statements.append(_statement(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if tree.size <= signed:
                problems.append(Problem("statements_altered", f"statement {tree.size} cannot be read", tree.size))
            statements.append(Statement(0, ()))
    return roots, statements


def _lines(path: Path) -> Iterator[bytes]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        while line := file.readline(LINE_BYTES_MAX):
            yield line
