"""The journal's form on disk: directories, segments, lines, the hash that binds each line to the one before, the lock.

    <journal>/<chain>/00000001.log     one line a record, the first line of each segment is a Head
    <journal>/<chain>/00000001.torn    what a crash left behind the last whole line, moved aside by recovery
    <journal>/<chain>/lock             held (flock) by the one process that writes this chain

    line = <json> TAB <hash> LF        hash = hex(sha256(hash of the line before + json)), 64 zeros before the first

JSON escapes every control character inside strings, so TAB and LF never occur in it.
"""

from __future__ import annotations

import fcntl
import os
import re
from binascii import hexlify
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from signalbox.core.errors import LedgerError
from signalbox.core.records import Action, Captured, ConfigLoaded, Opened, Progress, Refused, Settled

FORMAT_VERSION = 1
GENESIS = b"0" * 64
HASH_CHARS = 64
LINE_BYTES_MAX = 1 << 20
LOCK_NAME = "lock"
# Beginnings of lines that need no decoding to be told apart; msgspec writes the tag first.
HEAD_START = b'{"k":"head"'
SEAL_START = b'{"k":"seal"'

_CHAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_SEGMENT_NAME = re.compile(r"([0-9]{8})\.log\Z")
# What a line has besides its JSON: TAB, hash, LF.
SEAL_BYTES = HASH_CHARS + 2
_SEAL_BYTES_MAX = 512
_HEX = re.compile(rb"[0-9a-f]{64}\Z")


class Head(msgspec.Struct, frozen=True, tag="head", tag_field="k", gc=False):
    """First line of each segment. seq: this line's number in the chain. prev: hash of the line before.
    low: the earliest segment that holds an attempt still open here, so that recovery need not read older ones."""

    chain: str
    segment: int
    seq: int
    prev: str
    version: int
    time_ms: int
    low: int


class Seal(msgspec.Struct, frozen=True, tag="seal", tag_field="k", gc=False):
    """Nothing in this chain is open: written by a clean close or by recovery, which then has nothing to read."""

    time_ms: int
    by: str


Entry = Head | Seal | Opened | Refused | Progress | Settled | ConfigLoaded | Captured | Action

# What decoding raises for bytes that are no record: msgspec lets invalid UTF-8 and deep nesting through as these.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

ENCODER = msgspec.json.Encoder()
ENTRY_DECODER: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
_HEAD_DECODER = msgspec.json.Decoder(Head)


def hash_of(prev: bytes, json: bytes) -> bytes:
    return hexlify(sha256(prev + json).digest())


def seal_line(prev: bytes, json: bytes) -> tuple[bytes, bytes]:
    """(the whole line, its hash) for a record's JSON that follows the line whose hash is `prev`."""
    digest = hexlify(sha256(prev + json).digest())  # hash_of, without the call: twice a request
    return b"".join((json, b"\t", digest, b"\n")), digest


def split_line(line: bytes) -> tuple[bytes, bytes] | None:
    """(json, hash) of a whole line as read from a segment, or None when it has not the shape of one."""
    at = len(line) - SEAL_BYTES
    if at < 2 or line[-1] != 10 or line[at] != 9:
        return None
    digest = line[at + 1 : -1]
    return (line[:at], digest) if _HEX.match(digest) else None


def follow(prev: bytes, line: bytes) -> tuple[bytes, bytes] | None:
    """(json, hash) of a line that follows the one whose hash is `prev`; None when it does not, whatever the reason.
    The quick way for what is nearly always the case."""
    json = line[:-SEAL_BYTES]
    digest = hash_of(prev, json)
    return (json, digest) if line[-SEAL_BYTES:] == b"\t%b\n" % digest else None


def follow_all(prev: bytes, lines: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    """The JSON of lines, without their newlines, that follow each other and the one whose hash is `prev`, up to the
    first that does not or is a head, and the hash of the last of them. What `follow` does, for many."""
    jsons: list[bytes] = []
    add, end = jsons.append, -SEAL_BYTES + 1
    for line in lines:
        json = line[:end]
        digest = hexlify(sha256(prev + json).digest())
        if line[end:] != b"\t" + digest or json.startswith(HEAD_START):
            break
        add(json)
        prev = digest
    return jsons, prev


def segment_path(chain_directory: Path, segment: int) -> Path:
    return chain_directory / f"{segment:08d}.log"


def chain_names(journal_directory: Path) -> list[str]:
    """Names of the chains under a journal directory, sorted; empty when it does not exist yet."""
    try:
        with os.scandir(journal_directory) as entries:
            return sorted(e.name for e in entries if _CHAIN_NAME.match(e.name) and e.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def check_chain_name(chain: str) -> None:
    if not _CHAIN_NAME.match(chain):
        raise LedgerError(f"{chain!r} is no chain name: up to 64 letters, digits, '.', '_' and '-'")


def segment_numbers(chain_directory: Path) -> list[int]:
    """Numbers of the segment files of one chain, in order; empty when it does not exist."""
    try:
        with os.scandir(chain_directory) as entries:
            return sorted(int(found[1]) for e in entries if (found := _SEGMENT_NAME.match(e.name)))
    except FileNotFoundError:
        return []


def read_lines(path: Path, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """(offset, bytes) of each line from `offset` on, newline included, memory bounded: what is longer than a line
    can be comes in pieces, none of which has the shape of a line. The last one may be unfinished. The reader stops at
    it: while a write is under way a file ends anywhere in it, and what came next would be the rest of that line."""
    bytes_max = LINE_BYTES_MAX + SEAL_BYTES
    with path.open("rb", buffering=1 << 18) as file:
        file.seek(offset)
        while line := file.readline(bytes_max):
            yield offset, line
            offset += len(line)
            if line[-1] != 10 and len(line) < bytes_max:
                return


def read_head(path: Path) -> Head | None:
    """The head of a segment, or None when its first line is none."""
    for _, line in read_lines(path):
        parts = split_line(line)
        if parts is None:
            return None
        try:
            return _HEAD_DECODER.decode(parts[0])
        except UNREADABLE:
            return None
    return None


class ChainLock:
    """Holds one chain for this process. flock and not a POSIX lock: it excludes a second holder in the same process
    too, and dies with the process. Open journals after fork, because a child shares its parent's lock."""

    __slots__ = ("_fd",)

    def __init__(self, chain_directory: Path) -> None:
        """Raises BlockingIOError when another holds the chain, OSError when the directory cannot be used."""
        fd = os.open(chain_directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise
        self._fd = fd

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(chain_directory: Path) -> bool:
    """True when a living process writes this chain. Never creates anything, so that `verify` works on a copy that
    may only be read."""
    try:
        fd = os.open(chain_directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def is_sealed(chain_directory: Path) -> bool:
    """True when the chain's last line is a seal; reads the last bytes only."""
    numbers = segment_numbers(chain_directory)
    if not numbers:
        return False
    with segment_path(chain_directory, numbers[-1]).open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SEAL_BYTES_MAX))
        end = file.read()
    parts = split_line(end[end.rfind(b"\n", 0, -1) + 1 :])
    return parts is not None and parts[0].startswith(SEAL_START)


class Tail(msgspec.Struct, frozen=True):
    """Where a chain ends. size: bytes up to the end of the last whole line. torn: bytes behind it. seq and digest:
    of that line. sealed: it is a seal. low: the earliest segment that recovery must read."""

    segment: int
    size: int
    torn: int
    seq: int
    digest: bytes
    sealed: bool
    low: int


def read_tail(chain_directory: Path) -> Tail | None:
    """The end of a chain, from its last segment that has a head; None when it has no whole line at all.

    A crash between creating a segment and writing its head leaves an empty or torn file last: that one is skipped,
    and the writer removes it.
    """
    for segment in reversed(segment_numbers(chain_directory)):
        path = segment_path(chain_directory, segment)
        head = read_head(path)
        if head is not None:
            return _tail_of(path, head)
    return None


def _tail_of(path: Path, head: Head) -> Tail:
    size, whole, last, digest = 0, 0, b"", GENESIS
    # A damaged line within the segment still counts as one, or every later number would be off.
    for number, (offset, line) in enumerate(read_lines(path), start=1):
        parts = split_line(line)
        if parts is not None:
            last, digest = parts
            size, whole = offset + len(line), number
    return Tail(
        segment=head.segment,
        size=size,
        torn=path.stat().st_size - size,
        seq=head.seq + whole - 1,
        digest=digest,
        sealed=last.startswith(SEAL_START),
        low=head.low,
    )
