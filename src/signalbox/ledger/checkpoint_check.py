"""What signed checkpoints vouch for, and what is wrong with them: read offline, with the public key alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from signalbox.ledger.checkpoint import NOTES, STATEMENTS, Cut, Statement, lines_of, read_statement
from signalbox.ledger.signed_note import PublicKey, Tree

_text = msgspec.json.Decoder(str).decode


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
    notes = _good_notes(lines_of(directory / NOTES), key, "note", problems)
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
    for line in lines_of(path):
        if not line.endswith(b"\n"):
            break
        tree.append(line[:-1])
        if tree.size in wanted:
            roots[tree.size] = tree.root()
        try:
            statements.append(read_statement(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            if tree.size <= signed:
                problems.append(Problem("statements_altered", f"statement {tree.size} cannot be read", tree.size))
            statements.append(Statement(0, ()))
    return roots, statements
