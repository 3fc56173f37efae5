"""The public face of detection: `scan` tells what a text contains and where, `classify` only which labels it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import islice

from msgspec.structs import replace

from signalbox.core.labels import NONE, Labels, labels_of
from signalbox.detectors import encoded, secret_tokens
from signalbox.detectors.cards import AUTHENTICATION
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import FOUND_MAX, RAISES, Found
from signalbox.detectors.lexicon import ABROAD, IDEOGRAPHS, WIDE, WORDS, Lexicon, WideLexicon
from signalbox.detectors.normalise import CONFUSED, digits_mended, given, may_confuse, plain
from signalbox.detectors.numbers import NUMBER
from signalbox.detectors.shapes import KINDS
from signalbox.detectors.table import DETECTORS
from signalbox.detectors.triggers import Triggers
from signalbox.detectors.view import TOKEN, View

# A survey counts to so many findings of each detector.
ENOUGH = 20
# What the gate asks of the bytes for the views' own sake; bits beyond those of detectors.
_TOKENED, _NUMBERED, _CONFUSED, _KEYED, _ENCODED, _FORMED = 1, 2, 4, 8, 16, 32
# So many different sets of reasons are kept as the detectors that they stand for.
_ORDERS_MAX = 4096


class _Look:
    """One look at a text. known: labels that need not be found, by name. brief: only what raises a label counts.

    enough: so many findings of a detector suffice once it has found each of its labels; 0 for all. raised: the labels
    found so far; with `enough` 1 they need not be found again. What it may still decode goes down with each part.
    """

    __slots__ = ("brief", "chars_left", "enough", "known", "parts_left", "raised")

    def __init__(self, *, known: Labels = NONE, enough: int = 0) -> None:
        self.brief = enough > 0
        self.known: tuple[str, ...] = known.names() if known is not NONE else ()
        self.raised: set[str] = set()
        self.enough = enough
        self.chars_left = encoded.DECODED_CHARS_MAX
        self.parts_left = encoded.PARTS_MAX


def _find(detector: Detector, view: View, look: _Look) -> None:
    """Adds what a detector finds, until it is enough."""
    left, tags = look.enough, detector.tags
    if not left:
        view.found += islice(detector.find(view), FOUND_MAX)
        return
    raised: set[str] = set() if left > 1 else look.raised
    if left == 1 and raised.issuperset(tags):
        return
    for found in islice(detector.find(view), FOUND_MAX):
        view.found.append(found)
        if found.confidence >= RAISES:
            raised.add(found.tag)
            left -= 1
            if left <= 0 and raised.issuperset(tags):
                return


class Scanner:
    """A set of detectors with the gate over them: one lookup of the text's words decides which of them look."""

    __slots__ = (
        "_asking",
        "_by_kinds",
        "_context",
        "_deep",
        "_detectors",
        "_formed",
        "_hinted",
        "_known_orders",
        "_lexicon",
        "_narrow",
        "_numbered",
        "_numeric",
        "_reasons",
        "_rests",
        "_shift",
        "_signs",
        "_triggers",
        "_wide",
        "_wide_lexicon",
        "_wide_signs",
    )

    def __init__(self, detectors: Sequence[Detector] = DETECTORS) -> None:
        self._detectors = tuple(detectors)
        self._lexicon: dict[bytes, int] = {}
        self._wide_lexicon: dict[str, int] = {}
        size = len(self._detectors)
        self._deep = 0
        of_pieces: dict[bytes, int] = {}
        for index, detector in enumerate(self._detectors):
            hint = 1 << (index + size) if detector.hinting or detector.hinting_pieces else 0
            of_pieces.update({piece: of_pieces.get(piece, 0) | hint for piece in detector.hinting_pieces})
            self._learn(detector.words, 1 << index)
            self._learn(detector.hinting, hint)
            self._learn(detector.noted, 0)
            if detector.context:
                self._deep |= 1 << index | hint
        context = {word for one in self._detectors for word in one.context}
        for word in context:
            if max(word) >= "\u0100":
                self._wide_lexicon.setdefault(word, 0)
        self._narrow = Lexicon(self._lexicon, [piece for one in self._detectors for piece in one.pieces])
        self._numbered = self._narrow.numbered(self._lexicon, of_pieces)
        self._context = Lexicon(
            {word.encode("latin-1") for word in context if max(word) < "\u0100"} - self._lexicon.keys()
        )
        self._wide = WideLexicon(self._wide_lexicon)
        kinds = tuple((1 << at, one.kinds) for at, one in enumerate(self._detectors) if one.kinds)
        self._numeric = sum(bit for bit, _ in kinds)
        self._by_kinds = [sum(bit for bit, wanted in kinds if wanted & seen) for seen in range(KINDS)]
        self._hinted = tuple(
            (1 << (at + size), 1 << at, one.hinted)
            for at, one in enumerate(self._detectors)
            if one.hinting or one.hinting_pieces
        )
        self._formed = sum(1 << at for at, one in enumerate(self._detectors) if one.forms)
        self._signs = tuple((1 << at, one.sign) for at, one in enumerate(self._detectors) if one.sign is not None)
        self._wide_signs = tuple(
            (1 << at, one.wide_sign) for at, one in enumerate(self._detectors) if one.wide_sign is not None
        )
        self._rests = tuple(
            (1 << at, self._finding(one.rests_on), one.holds) for at, one in enumerate(self._detectors) if one.rests_on
        )
        self._reasons, self._shift = (1 << size) - 1, size
        # What words alone do not decide.
        self._asking = self._deep | ~self._reasons & (1 << 2 * size) - 1
        self._asking |= sum(bit for bit, _, holds in self._rests if holds is not None)
        self._triggers = Triggers(
            (
                *((pattern, 1 << at) for at, one in enumerate(self._detectors) for pattern in one.triggers),
                *((pattern, _ENCODED << size) for pattern in encoded.TRIGGERS),
            ),
            (
                *((TOKEN, _TOKENED << size), (NUMBER, _NUMBERED << size)),
                (CONFUSED, _CONFUSED << size),
                *((pattern, _KEYED << size) for pattern in secret_tokens.TRIGGERS),
                *((pattern, _FORMED << size) for one in self._detectors for pattern in one.forms),
            ),
        )
        self._known_orders: dict[int, tuple[Detector, ...]] = {}

    def _learn(self, words: Iterable[str], bit: int) -> None:
        """Words that give this reason."""
        for word in words:
            if max(word) < "\u0100":
                key = word.encode("latin-1")
                self._lexicon[key] = self._lexicon.get(key, 0) | bit
            else:
                self._wide_lexicon[word] = self._wide_lexicon.get(word, 0) | bit

    def _finding(self, labels: frozenset[str]) -> int:
        """One bit for every detector that can find one of these."""
        return sum(1 << at for at, one in enumerate(self._detectors) if not labels.isdisjoint(one.tags))

    def postpone(self) -> None:
        """Lets no text wait for `ready`, which somebody is about to call in another thread."""
        for one in (self._narrow, self._context, self._wide, self._triggers):
            one.database.postpone()

    def ready(self) -> None:
        """Compiles what would be compiled at the first text."""
        for one in (self._narrow, self._context, self._wide, self._triggers):
            one.database.ready()
        for one in self._detectors:
            if one.ready is not None:
                one.ready()

    def scan(self, text: str | bytes) -> list[Found]:
        """Everything found, by position. Offsets are characters of the text; bytes are read as UTF-8, where each
        undecodable one counts as one character."""
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        return self._found(text, _Look())

    def survey(self, text: str, known: Labels = NONE) -> list[Found]:
        """What raises a label, by position; of each detector no more than ENOUGH, once each of its labels was found.

        known: labels that need not be found again. Cheaper than a scan of a text that holds much.
        """
        found = self._found(text, _Look(known=known, enough=ENOUGH))
        return [one for one in found if one.confidence >= RAISES] if found else found

    def classify(self, text: str | bytes, known: Labels = NONE) -> Labels:
        """The labels of everything found with enough confidence, without those already known.

        Cheaper still: each label is looked for only until it is found once.
        """
        text = text if isinstance(text, str) else text.decode("utf-8", "replace")
        look = _Look(known=known, enough=1)
        normal, _, utf8 = plain(text)
        self._plain(normal, utf8, 0, look)
        raised = look.raised.difference(look.known)
        return labels_of(raised) if raised else NONE

    def gate(self, text: str) -> tuple[View, Sequence[Detector]]:
        """What all detectors look at, and those with a reason to look: the part of a survey that any text costs."""
        normal, _, utf8 = (text, None, b"") if text.isascii() else plain(text)
        view, fired, _ = self._seen(normal, utf8, 0, brief=True)
        return view, self._in_order(fired)

    def _found(self, text: str, look: _Look) -> list[Found]:
        normal, dropped, utf8 = (text, None, b"") if text.isascii() else plain(text)
        found = self._plain(normal, utf8, 0, look)
        if dropped is not None and found:
            found = [
                replace(one, start=given(dropped, one.start), end=given(dropped, one.end - 1) + 1) for one in found
            ]
        return resolved(found)

    def _plain(self, text: str, utf8: bytes, depth: int, look: _Look) -> list[Found]:
        """Findings in a normal text and, to a depth and within a budget of characters and parts, in what it encodes."""
        view, fired, packed = self._seen(text, utf8, self._knowing(look.known) if look.known else 0, look.brief)
        for detector in self._in_order(fired):
            _find(detector, view, look)
        if not packed or depth >= encoded.DEPTH_MAX:
            return view.found
        for start, end, inner in encoded.parts(view):
            if look.chars_left < len(inner) or look.parts_left == 0:
                view.found.append(Found("encoded", "opaque", start, end, 0.6, "beyond-bounds"))
                look.raised.add("opaque")
                break
            look.chars_left -= len(inner)
            look.parts_left -= 1
            view.found += self._inner(inner, start, end, depth, look)
        return view.found

    def _inner(self, text: str, start: int, end: int, depth: int, look: _Look) -> list[Found]:
        """What an encoded part contains, each finding once, all at the place of the part."""
        best: dict[tuple[str, str], Found] = {}
        normal, _, utf8 = plain(text)
        for one in self._plain(normal, utf8, depth + 1, look):
            key = (one.detector, one.kind)
            if key not in best or best[key].confidence < one.confidence:
                best[key] = replace(one, start=start, end=end)
        return list(best.values())

    def _knowing(self, known: tuple[str, ...]) -> int:
        """One bit for every detector that can find nothing but what is known."""
        return sum(1 << at for at, one in enumerate(self._detectors) if set(known).issuperset(one.tags))

    def _in_order(self, fired: int) -> tuple[Detector, ...]:
        """The detectors of these bits, in the order in which they look."""
        known = self._known_orders.get(fired)
        if known is None:
            known = tuple(one for at, one in enumerate(self._detectors) if fired >> at & 1)
            if len(self._known_orders) < _ORDERS_MAX:
                self._known_orders[fired] = known
        return known

    def _seen(self, text: str, utf8: bytes, idle: int, brief: bool) -> tuple[View, int, bool]:
        """The view of a normal text, one bit for every detector that has a reason to look, and whether anything may be
        encoded in it. idle: those that need not. Every text of every call comes here, so what most have nothing of is
        asked for once for all, and nothing is made ready that only few need."""
        view = View(text, brief, utf8)
        omens = self._triggers.seen(view.flat)
        told = omens >> self._shift
        if told & _CONFUSED and may_confuse(view.flat, view.shape):
            mended = digits_mended(text, view.flat)
            if mended != text:
                view = View(mended, brief)
                omens = self._triggers.seen(view.flat)
                told = omens >> self._shift
        fired, numbered = 0, self._numbered
        for at in view.look_up(self._narrow):
            fired |= numbered[at]
        if view.beyond:
            fired |= self._seen_wide(view)
            if view.wide:
                for bit, sign in self._wide_signs:
                    if not (fired | idle) & bit and sign(view):
                        fired |= bit
        if idle or fired & self._asking:
            fired, idle = self._asked(view, fired, idle)
        fired |= omens & self._reasons
        if not told & _KEYED:
            view.keyed = False
        if not told & _NUMBERED:
            view.numbers = []
        elif self._numeric & ~(fired | idle):
            fired |= self._by_kinds[view.kinds]
        if not told & _TOKENED:
            view.tokens = ()
        if not told & _FORMED:
            view.formed = False
        elif view.tokens:
            fired |= self._formed
        done = fired | idle
        for bit, sign in self._signs:
            if not done & bit and sign(view):
                fired |= bit
        return view, fired & ~idle, told & (_TOKENED | _ENCODED) > 0

    def _asked(self, view: View, fired: int, idle: int) -> tuple[int, int]:
        """The reasons that hold, of words that are one only where something else is there as well; and who may idle."""
        if fired & self._deep:
            view.look_up_also(self._context)
        if fired > self._reasons:
            for hint, bit, hinted in self._hinted:
                if fired & hint:
                    fired ^= hint
                    if not fired & bit and hinted(view):
                        fired |= bit
        for bit, others, holds in self._rests:
            if fired & bit & ~idle:
                if holds is None or holds(view):
                    idle &= ~others
                else:
                    idle |= bit
        return fired, idle

    def _seen_wide(self, view: View) -> int:
        """The reasons that words beyond latin-1 give; what the view says of such characters is known from then on."""
        beyond = self._wide.seen(view.utf8)
        view.wide, view.ideographs = beyond & WIDE > 0, beyond & IDEOGRAPHS > 0
        if not beyond & ABROAD:
            view.abroad = ()
        fired = 0
        if beyond & WORDS:
            view.wide_hits = self._wide.words & view.wide_words()
            for word in view.wide_hits:
                fired |= self._wide_lexicon[word]
        return fired


# Detectors that read the same numbers in different ways.
_NUMBERS = frozenset(("cards", "bank", "national_ids", "phone", "ip"))


def resolved(found: list[Found]) -> list[Found]:
    """By position; a number is one thing only: where readings of it overlap, the most confident one stays."""
    if len(found) < 2:
        return found
    kept: list[Found] = []
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        clash = None
        if _is_number(one):
            clash = next((k for k in reversed(kept[-4:]) if k.end > one.start and _is_number(k)), None)
        if clash is None:
            kept.append(one)
        elif one.confidence > clash.confidence:
            kept[kept.index(clash)] = one
    return sorted(kept, key=lambda f: (f.start, -f.end))


def _is_number(found: Found) -> bool:
    # Authentication data stand beside the card data that they are as well.
    return found.detector in _NUMBERS and found.tag != AUTHENTICATION


@lru_cache(maxsize=64)
def scanner_of(names: tuple[str, ...]) -> Scanner:
    """The built-in detectors of these names: one scanner for all who look with the same, made when one first does."""
    return Scanner([one for one in DETECTORS if one.name in names])


EVERYTHING = Scanner()
scan = EVERYTHING.scan
survey = EVERYTHING.survey
classify = EVERYTHING.classify
