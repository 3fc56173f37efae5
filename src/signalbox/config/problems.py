"""The findings of one reading: all of them, each with its line and a way to put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from signalbox.core.errors import ConfigError

# More would scroll the first ones, which matter most, off the screen.
PROBLEMS_MAX = 100

# Where in the document something stands: keys and positions from the root.
Path = tuple[str | int, ...]


class Problems:
    """Collects findings by line. lines: where each value of the document stands."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: dict[Path, int] = {(): 1}
        self._found: list[tuple[int, str]] = []
        self._touched: set[Path] = set()
        self._exact: set[Path] = set()
        self._names: dict[tuple[str, ...], frozenset[str]] = {}

    def add(self, path: Path, what: str, fix: str) -> None:
        """what and fix are sentences without their full stop."""
        self._exact.add(path)
        self._touched.update(path[:length] for length in range(len(path) + 1))
        self.add_at(self.line(path), f"{dotted(path)}: {what}" if path else what, fix)

    def add_at(self, line: int, what: str, fix: str) -> None:
        self._found.append((line, f"{self.file}:{line}: {what}. {fix}{'' if fix.endswith('?') else '.'}"))

    def line(self, path: Path) -> int:
        """The line of the value, or of the nearest thing around it that is in the file."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def clean(self, path: Path) -> bool:
        """Whether nothing is wrong with the value or anything in it, so that what it means can be judged."""
        return path not in self._touched

    def names_of(self, sections: tuple[str, ...]) -> frozenset[str] | None:
        """The names that these sections declare, rightly or not: a faulty entry is not a missing one.

        None when a section as a whole is faulty, so that nobody can say what it declares. To be asked once the whole
        file was read.
        """
        if any((section,) in self._exact for section in sections):
            return None
        if sections not in self._names:
            names = (path[1] for path in self.lines if len(path) == 2 and path[0] in sections)
            self._names[sections] = frozenset(str(name) for name in names)
        return self._names[sections]

    def __bool__(self) -> bool:
        return bool(self._found)

    def raise_if_any(self) -> None:
        """Raises ConfigError with every finding, in the order of the file."""
        if self._found:
            found = list(dict.fromkeys(text for _, text in sorted(self._found, key=lambda item: item[0])))
            more = len(found) - PROBLEMS_MAX
            if more > 0:
                found[PROBLEMS_MAX:] = [f"{self.file}: and {more} more. Put these right first."]
            raise ConfigError(found)


def dotted(path: Path) -> str:
    """`deployments.mini.replicas[0]`, as people write a place in a document; long parts are cut."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
            continue
        text = "".join(char if char.isprintable() else "?" for char in part[:64])
        out += f".{text}" if out else text
    return out


def repeated(names: Iterable[str]) -> Iterator[int]:
    """The positions of names that stand earlier in the list as well, in one pass: lists may be as long as a file."""
    before: set[str] = set()
    for position, name in enumerate(names):
        if name in before:
            yield position
        before.add(name)


def did_you_mean(wrong: str, known: Iterable[str], *, otherwise: str = "Known are") -> str:
    """A sentence without its full stop: the nearest known name, or what there is."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong[:128], names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    if not names:
        return "There are none"
    shown = ", ".join(names[:12])
    return f"{otherwise}: {shown}{', …' if len(names) > 12 else ''}"
