"""The map of one conversation: which token stands for which value, and how tokens are made and found again. Pure but
for chance, which comes in.

The parts of a name have tokens of their own that differ in the last character, so that a model sees whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from signalbox.detectors.pseudonym import ALPHABET, CODE_CHARS, KINDS

_KIND_OF = {
    "name": "PERSON",
    "email": "EMAIL",
    "phone": "PHONE",
    "fax": "PHONE",
    "iban": "ACCOUNT",
    "ipv4": "IP",
    "ipv6": "IP",
    "mac": "IP",
    "birth-date": "DATE",
    "date": "DATE",
    "street": "PLACE",
    "postcode": "PLACE",
    "town": "PLACE",
    "place": "PLACE",
    "facility": "PLACE",
    "address": "PLACE",
}
_KIND_OF_DETECTOR = {"cards": "CARD", "bank": "ACCOUNT", "addresses": "PLACE", "dates": "DATE", "persons": "PERSON"}
_BY_DIGITS = frozenset(("PHONE", "CARD", "ACCOUNT", "ID"))
_PART_CHARS_MIN = 3

# As models write them: also in capitals, and with the underscore escaped.
TOKEN = re.compile(
    rf"(?<![A-Za-z0-9])(?:{'|'.join(KINDS)})\\{{0,2}}_(?:[{ALPHABET}]{{{CODE_CHARS}}}|"
    rf"[{ALPHABET.upper()}]{{{CODE_CHARS}}})(?![A-Za-z0-9])"
)
_BEGUN = "|".join(sorted({kind[:end] for kind in KINDS for end in range(1, len(kind) + 1)}, key=len, reverse=True))
# A token is complete when what follows is no part of it, so a whole one waits for one character more.
OPEN = re.compile(
    rf"(?<![A-Za-z0-9])(?:(?:{'|'.join(KINDS)})\\{{0,2}}(?:_[A-Za-z0-9]{{0,{CODE_CHARS}}})?|(?:{_BEGUN}))\Z"
)
TOKEN_CHARS_MAX = max(map(len, KINDS)) + 3 + CODE_CHARS


def kind_of(detector: str, kind: str) -> str:
    """The kind of token for what a detector found."""
    return _KIND_OF.get(kind) or _KIND_OF_DETECTOR.get(detector, "ID")


def same(kind: str, value: str) -> str:
    """What two spellings of one entity have in common."""
    if kind in _BY_DIGITS:
        return re.sub(r"[^0-9A-Z]", "", value.upper())
    if kind in ("EMAIL", "IP"):
        return value.casefold()
    return " ".join(value.split())


class Pseudonyms:
    """choose: draws one of the characters it is given."""

    __slots__ = ("_choose", "_entities", "_pattern", "_tokens", "by_token")

    def __init__(self, choose: Callable[[str], str]) -> None:
        self._choose = choose
        self.by_token: dict[str, str] = {}
        self._tokens: dict[str, str] = {}
        self._entities: dict[tuple[str, str], str] = {}
        self._pattern: re.Pattern[str] | None = None

    def __len__(self) -> int:
        return len(self.by_token)

    def learn(self, entries: Iterable[tuple[str, str]]) -> None:
        """Takes over what is kept of the conversation; what is known already stays."""
        for token, value in entries:
            if token not in self.by_token:
                self.by_token[token] = value
                self._tokens[value] = token
                kind = token.partition("_")[0]
                self._entities.setdefault((kind, same(kind, value)), token)
                self._pattern = None

    def new(self, found: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Entries (token, value) for those (kind, value) that have no token yet, parts of names included."""
        entries: list[tuple[str, str]] = []
        taken = set(self.by_token)
        entities = dict(self._entities)
        for kind, value in found:
            if value in self._tokens or (kind, same(kind, value)) in entities:
                continue
            token = self._drawn(kind, taken)
            taken.add(token)
            entities[kind, same(kind, value)] = token
            entries.append((token, value))
            if kind == "PERSON":
                entries += self._parts(token, value, taken, entities)
        return entries

    def _parts(
        self, token: str, name: str, taken: set[str], entities: dict[tuple[str, str], str]
    ) -> list[tuple[str, str]]:
        """Tokens for the words of a name, which are said alone later on."""
        words = name.split()
        if len(words) < 2:
            return []
        parts: list[tuple[str, str]] = []
        for word in words:
            if len(word) < _PART_CHARS_MIN or not word[0].isupper() or ("PERSON", word) in entities:
                continue
            free = [char for char in ALPHABET if token[:-1] + char not in taken]
            if not free:
                break
            part = token[:-1] + self._choose("".join(free))
            taken.add(part)
            entities["PERSON", word] = part
            parts.append((part, word))
        return parts

    def _drawn(self, kind: str, taken: set[str]) -> str:
        while True:
            token = f"{kind}_{''.join([self._choose(ALPHABET) for _ in range(CODE_CHARS)])}"
            if token not in taken:
                return token

    def hide(self, text: str, spans: Iterable[tuple[int, int, str]] = ()) -> tuple[str, int]:
        """The text with tokens for every value that is known, and for these spans (start, end, kind); and how many
        were put in."""
        places: list[tuple[int, int, str]] = []
        for start, end, kind in spans:
            value = text[start:end]
            token = self._entities.get((kind, same(kind, value))) or self._tokens.get(value, "")
            places.append((start, end, token))
        pattern = self._values()
        if pattern is not None:
            places += [(m.start(), m.end(), self._tokens[m[0]]) for m in pattern.finditer(text)]
        if not places:
            return text, 0
        out: list[str] = []
        at = count = 0
        for start, end, token in sorted(places, key=lambda place: (place[0], -place[1])):
            if start < at or not token:
                continue
            out += (text[at:start], token)
            at, count = end, count + 1
        out.append(text[at:])
        return "".join(out), count

    def _values(self) -> re.Pattern[str] | None:
        if self._pattern is None and self._tokens:
            known = sorted(self._tokens, key=len, reverse=True)
            self._pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)")
        return self._pattern

    def value(self, written: str) -> str | None:
        """What a token stands for, however a model wrote it; None for one that was never given out."""
        kind, _, code = written.replace("\\", "").partition("_")
        return self.by_token.get(f"{kind}_{code.lower()}")
