"""Signed checkpoints: every way to tamper with a ledger is told, offline, with nothing but the public key."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from signalbox.cli.main import main
from signalbox.core.ports import ShipMark
from signalbox.ledger.chain import seal_line, segment_path, split_line
from signalbox.ledger.checkpoint import LATEST, NOTES, STATEMENTS, CheckpointLog
from signalbox.ledger.checkpoint_check import check, read_notes
from signalbox.ledger.signed_note import PublicKey, Signer, Tree
from signalbox.ledger.verify import Report, verify

ATTEMPTS = 6


def heads(journal: Path, chains: tuple[str, ...], lines: int | None = None) -> list[ShipMark]:
    """Marks behind line `lines` of each chain, or behind its last."""
    marks: list[ShipMark] = []
    for chain in chains:
        text = segment_path(journal / chain, 1).read_bytes().splitlines(keepends=True)
        seq = lines or len(text)
        parts = split_line(text[seq - 1])
        assert parts is not None
        marks.append(ShipMark(chain, 1, sum(map(len, text[:seq])), seq, parts[1].decode()))
    return marks


class Ledger:
    """A journal of two chains with three checkpoints, and an anchor elsewhere."""

    def __init__(self, root: Path, fill: Callable[..., None]) -> None:
        self.root = root
        self.journal = root / "journal"
        self.checkpoints = root / "checkpoints"
        self.anchor = root / "elsewhere"
        for chain in ("a", "b"):
            fill(self.journal, chain, ATTEMPTS)
        log = CheckpointLog(self.checkpoints, self.anchor)
        for time_ms, lines in ((1, 4), (2, 8), (3, None)):
            assert log.write(heads(self.journal, ("a", "b"), lines), time_ms)
        self.key = str(log.public)
        log.close()

    def check(self) -> Report:
        return verify(
            self.journal,
            (),
            check(self.checkpoints, PublicKey.read(self.key), {"elsewhere": read_notes(self.anchor)}),
        )

    def lines(self, chain: str = "a") -> list[bytes]:
        return segment_path(self.journal / chain, 1).read_bytes().splitlines(keepends=True)

    def write(self, lines: list[bytes], chain: str = "a") -> None:
        segment_path(self.journal / chain, 1).write_bytes(b"".join(lines))

    def rehash(self, lines: list[bytes]) -> list[bytes]:
        """The lines as somebody would write them who knows how the chain works."""
        digest, made = b"0" * 64, []
        for line in lines:
            line, digest = seal_line(digest, line[:-66])
            made.append(line)
        return made


@pytest.fixture
def ledger(tmp_path: Path, fill: Callable[..., None]) -> Ledger:
    return Ledger(tmp_path, fill)


def edited(line: bytes) -> bytes:
    assert b"mini" in line or b"200" in line
    return line.replace(b"mini", b"maxi").replace(b"200", b"201")


def edit(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], edited(lines[at]), *lines[at + 1 :]]


def delete(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], *lines[at + 1 :]]


def insert(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at], *lines[at:]]


def reorder(lines: list[bytes], at: int) -> list[bytes]:
    return [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]


def test_what_nobody_touched_is_whole(ledger: Ledger) -> None:
    report = ledger.check()
    assert report.ok, report.findings
    assert (report.checkpoints, report.signed_lines) == (3, sum(len(ledger.lines(c)) for c in "ab"))


# Lines 2 to 13 are records, the first is a head, the last a seal.
@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("change", [edit, delete, insert, reorder])
@pytest.mark.parametrize("knowing", [False, True], ids=["crude", "with new hashes"])
def test_changed_records_are_named(ledger: Ledger, change: Callable[..., list[bytes]], at: int, knowing: bool) -> None:
    changed = change(ledger.lines(), at)
    ledger.write(ledger.rehash(changed) if knowing else changed)
    report = ledger.check()
    assert not report.ok
    assert {found.chain for found in report.findings} == {"a"}
    if knowing:
        found = next(found for found in report.findings if found.kind in ("rewritten", "truncated"))
        signed = [4, 8, len(ledger.lines("b"))]
        # Doubling line `at` leaves the lines up to it as they were: the first that differs comes one later.
        first = at + 2 if change is insert else at + 1
        upper = next(seq for seq in signed if seq >= first)
        assert found.seq in (upper, upper - 1)
    else:
        assert any(found.seq in (at + 1, at + 2, at + 3) for found in report.findings), report.findings


@pytest.mark.parametrize("kept", [0, 1, 3, 7, 12])
def test_a_cut_chain_is_told_with_the_first_line_that_is_missing(ledger: Ledger, kept: int) -> None:
    if kept:
        ledger.write(ledger.lines()[:kept])
    else:
        shutil.rmtree(ledger.journal / "a")
    kinds = {found.kind: found for found in ledger.check().findings}
    if kept:
        assert f"line {kept + 1} is missing" in kinds["truncated"].message
    else:
        assert kinds["missing_chain"].chain == "a"


def test_a_rollback_of_everything_is_told_by_the_anchor(ledger: Ledger) -> None:
    """Journal and checkpoints as they were yesterday: all of it is consistent, and all of it is signed."""
    for name in (STATEMENTS, NOTES):
        path = ledger.checkpoints / name
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    for chain in "ab":
        ledger.write(ledger.lines(chain)[:8], chain)
    assert {found.kind for found in ledger.check().findings} == {"rollback"}


def test_a_fork_is_told_by_the_anchor(ledger: Ledger) -> None:
    """Another history of the same length, signed with the same key by whoever has it."""
    for name in (STATEMENTS, NOTES):
        (ledger.checkpoints / name).unlink()
    ledger.write(ledger.rehash(edit(ledger.lines(), 2)))
    log = CheckpointLog(ledger.checkpoints)
    for time_ms, lines in ((1, 4), (2, 8), (3, None)):
        log.write(heads(ledger.journal, ("a", "b"), lines), time_ms)
    assert {found.kind for found in ledger.check().findings} == {"fork"}


def test_another_key_and_no_signature_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    other = Signer.of(_made(tmp_path / "other"))
    path = ledger.checkpoints / NOTES
    notes = [json.loads(line) for line in path.read_text().splitlines()]
    opened = PublicKey.read(ledger.key).open(notes[2])
    assert opened is not None
    resigned = other.sign(opened.size, opened.root)
    bare = notes[2].partition("\n\n")[0] + "\n\n"
    text, _, signatures = notes[2].partition("\n\n")
    # What was signed is another text: a root, or a size.
    lines = text.split("\n")
    other_root = "\n".join([*lines[:2], base64.b64encode(bytes(32)).decode(), *lines[3:]]) + "\n\n" + signatures
    other_size = "\n".join([lines[0], "2", *lines[2:]]) + "\n\n" + signatures
    cut = (notes[2].replace("\u2014", "-"), notes[2][:-10])
    for last in (resigned, bare, *cut, other_root, other_size, "", "x"):
        path.write_text("".join(json.dumps(note) + "\n" for note in (*notes[:2], last)))
        found = ledger.check().findings
        assert [(one.kind, one.seq) for one in found if one.kind == "unsigned"] == [("unsigned", 3)], last
        assert "rollback" in {one.kind for one in found}


@pytest.mark.parametrize("at", [0, 1, 2])
def test_changed_statements_are_told(ledger: Ledger, at: int) -> None:
    path = ledger.checkpoints / STATEMENTS
    lines = path.read_bytes().splitlines(keepends=True)
    for changed in (
        [*lines[:at], lines[at].replace(b'"time_ms":', b'"time_ms":9'), *lines[at + 1 :]],
        [*lines[:at], *lines[at + 1 :]],
        [*lines[:at], b"junk\n", *lines[at:]],
    ):
        path.write_bytes(b"".join(changed))
        kinds = {found.kind for found in ledger.check().findings}
        assert kinds & {"statements_altered", "truncated"}


def test_a_crash_between_statement_and_note_is_no_finding_and_is_repaired(
    ledger: Ledger, fill: Callable[..., None]
) -> None:
    path = ledger.checkpoints / STATEMENTS
    with path.open("ab") as file:
        file.write(b'{"time_ms":4,"heads":[["a",')
    assert ledger.check().ok
    fill(ledger.journal, "c", 1)
    log = CheckpointLog(ledger.checkpoints, ledger.anchor)
    assert log.write(heads(ledger.journal, ("a", "c")), 5)
    log.close()
    report = ledger.check()
    assert report.ok, report.findings
    assert report.checkpoints == 4


def test_nothing_new_writes_nothing(ledger: Ledger) -> None:
    assert not CheckpointLog(ledger.checkpoints).write(heads(ledger.journal, ("a", "b")), 9)


def test_notes_are_tlog_checkpoints_as_any_other_reader_checks_them(ledger: Ledger) -> None:
    """By hand, from the two specifications: the text, the key's id, the signature over the text, the tree hash."""
    text, _, signature = (ledger.checkpoints / LATEST).read_text().partition("\n\n")
    origin, size, root = text.split("\n")
    dash, name, encoded = signature.rstrip("\n").split(" ")
    vkey_name, key_id, key = ledger.key.split("+", 2)
    assert (dash, name, size) == ("\u2014", origin, "3")
    assert vkey_name == origin
    raw_key, raw = base64.b64decode(key), base64.b64decode(encoded)
    assert hashlib.sha256(origin.encode() + b"\n" + raw_key).digest()[:4] == raw[:4] == bytes.fromhex(key_id)
    assert raw_key[0] == 1
    Ed25519PublicKey.from_public_bytes(raw_key[1:]).verify(raw[4:], f"{text}\n".encode())
    leaves = [
        hashlib.sha256(b"\x00" + line).digest() for line in (ledger.checkpoints / STATEMENTS).read_bytes().splitlines()
    ]
    left = hashlib.sha256(b"\x01" + leaves[0] + leaves[1]).digest()
    assert base64.b64decode(root) == hashlib.sha256(b"\x01" + left + leaves[2]).digest()


@pytest.mark.parametrize("size", range(20))
def test_the_tree_is_that_of_rfc_6962(size: int) -> None:
    leaves = [str(n).encode() for n in range(size)]

    def root(part: list[bytes]) -> bytes:
        if len(part) < 2:
            return hashlib.sha256(b"\x00" + part[0] if part else b"").digest()
        split = 1 << (len(part) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + root(part[:split]) + root(part[split:])).digest()

    tree = Tree()
    for leaf in leaves:
        tree.append(leaf)
    assert tree.root() == root(leaves)


def test_the_command_line_needs_only_the_copy_and_the_key(
    ledger: Ledger, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    for name in ("journal", "checkpoints"):
        shutil.copytree(ledger.root / name, copy / name)
    (copy / "checkpoints" / "key").unlink()
    (copy / "checkpoints" / "key.pub").unlink()
    before = sorted(copy.rglob("*"))
    verb = ["ledger", "verify", "--state-dir", str(copy), "--public-key", ledger.key, "--anchor", str(ledger.anchor)]
    assert main(verb) == 0
    assert "3 checkpoints" in capsys.readouterr().out
    assert sorted(copy.rglob("*")) == before
    assert main([*verb[:5], "nonsense+1+2"]) == 2
    segment = segment_path(copy / "journal" / "a", 1)
    segment.write_bytes(segment.read_bytes().replace(b"mini", b"maxi", 1))
    assert main([*verb, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["seq"] == 2


def test_the_private_key_is_for_its_owner_only_and_made_once(ledger: Ledger) -> None:
    assert (ledger.checkpoints / "key").stat().st_mode & 0o077 == 0
    assert str(Signer.of(ledger.checkpoints).public) == ledger.key
    assert (ledger.checkpoints / "key.pub").read_text().strip() == ledger.key


def _made(path: Path) -> Path:
    path.mkdir()
    return path
