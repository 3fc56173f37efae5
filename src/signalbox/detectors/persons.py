"""Names of people: after words that introduce one, in fields that hold one, or a known given name with a surname.

A name alone says little (books and exercises are full of them), so only introduced names and those that stand beside
other personal data raise a label; the rest is reported with less confidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from signalbox.detectors.detector import Detector
from signalbox.detectors.first_names import FIRST_NAMES
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.view import PLACES_MAX, View, Words

# The quote that closes a field is no part of the name in it.
_CAP = r"[A-ZÀ-ÖØ-ÞŁŚŻŹĆ][\w'’-]*[\w-]"
_JOIN = r"(?:de|del|della|di|da|dos|das|van|von|der|den|zu|la|le|el|al|bin|ibn|y|e|af)"
NAME = rf"{_CAP}(?: (?:{_JOIN} ){{0,2}}(?:{_CAP}|[A-Z]\.?(?!\w))){{0,3}}"

# Sentences in which somebody is named: after these words a name follows at once, or after a word for `is`.
_ANY_NAME = rf"(?:{NAME}|[А-ЯІЇЄ][а-яіїє]+(?: [А-ЯІЇЄ][а-яіїє]+){{0,2}}|[Α-Ω]\w+(?: [Α-Ω]\w+)?)"
_AT_ONCE = re.compile(rf"(?: (?:się|se|by))?[ :]{{1,2}}({_ANY_NAME})")
_AFTER_IS = re.compile(rf"(?:['’]s| is| ist| est| es| è| é| är| er| on|:) ({_ANY_NAME})")
_AT_ONCE_TEXT = """
    called signed heiße heisse appelle llamo chiamo heet heter hedder nazywam imię chamo adım зовут звати λένε jmenuji
    numesc nevem
"""
_AFTER_IS_TEXT = "name nom nombre nome naam namn nimeni navn"
_AT_ONCE_WORDS, _AFTER_IS_WORDS = Words(_AT_ONCE_TEXT.split()), Words(_AFTER_IS_TEXT.split())
# `a method called Foo` names a thing: these need somebody before them.
_SOMEBODY = re.compile(r"(?i)(?:\b(?:i am|i['’]m|he is|she is|man|woman|person|patient) |\n|^)$")
_FIELD = re.compile(rf"[\"']?[ \t]{{0,2}}[:=][ \t]{{0,4}}[\"']?((?:(?:Mr|Mrs|Ms|Dr|Prof)\.? )?{NAME}(?:,? {_CAP})?)")
_TITLE = re.compile(rf"\.? ({NAME})")
_PAIR = re.compile(
    rf"{_CAP}(?:-{_CAP})? (?:[A-Z]\.? )?(?:{_JOIN} ){{0,2}}({_CAP}(?: {_CAP})?|[A-Z]\.(?!\w)|[A-Z](?=[,;.)\s?]))"
)

_FIELDS = frozenset(
    b"name surname lastname firstname fullname forename patient employee customer applicant claimant insured "
    b"beneficiary signatory nombre apellidos apellido paciente cliente nom pr\xe9nom prenom vorname nachname "
    b"familienname "
    b"kunde mitarbeiter antragsteller cognome paziente voornaam achternaam naam nazwisko f\xf6rnamn efternamn "
    b"etunimi sukunimi fornavn etternavn efternavn nome sobrenome apelido m\xe9dico medico doctor physician remitente "
    b"recipient tenant borrower holder cardholder beneficiario".split()
)
_THINGS = frozenset((b"called", b"signed"))
_OWNERS = frozenset((b"my", b"full", b"his", b"her", b"mein", b"patient", b"s"))
# Fields that hold other names as well; only a known given name makes theirs a person.
_VAGUE = frozenset((b"name", b"nom", b"nome", b"naam", b"kunde", b"customer", b"cliente", b"tenant", b"recipient",
                    b"holder",
                    b"doctor", b"medico", b"employee"))  # fmt: skip
_TITLES = frozenset(
    b"mr mrs ms miss dr prof herr herrn frau mme mlle monsieur madame se\xf1or se\xf1ora sr sra srta sig signor "
    b"signora "
    b"dott dottoressa dhr mevr meneer mevrouw pan pani panu pani\xb1 herra rouva fru fr\xf6ken senhor senhora".split()
)
_NAMES = frozenset(name.encode("latin-1") for name in FIRST_NAMES if max(name) < "\u0100")
_NOT_NAMES = re.compile(
    r"(?i)(?:street|road|avenue|university|hospital|clinic|center|centre|institute|school|city|county|park|river|bay|"
    r"the|inc|llc|ltd|gmbh|corp|company|syndrome|disease|is|was|has|and|or|of|in|for|with)\b"
)


def find(view: View) -> Iterator[Found]:
    text = view.text
    yield from _introduced(view)
    company = any(found.tag in ("personal", "national-id") and found.confidence >= RAISES for found in view.found)
    for word, end in view.after(_FIELDS):
        match = _FIELD.match(text, end)
        if match is not None and text[match.end(1) : match.end(1) + 1] != "(":  # that is a function's name
            known = match[1].split()[0].lower() in FIRST_NAMES
            confidence = 0.75 if known and " " in match[1] else 0.4 if word in _VAGUE else 0.65
            yield Found("persons", "personal", match.start(1), match.end(1), confidence, "name")
    if view.brief and not company:
        return
    for _, end in view.after(_TITLES):
        match = _TITLE.match(text, end)
        if match is not None:
            yield Found("persons", "personal", match.start(1), match.end(1), 0.6 if company else 0.4, "name")
    yield from named(view, 0.6 if company else 0.45)


def _introduced(view: View) -> Iterator[Found]:
    text = view.text
    for words, pattern in ((_AT_ONCE_WORDS, _AT_ONCE), (_AFTER_IS_WORDS, _AFTER_IS)):
        ends = [(word, end) for word, end in view.after(words.narrow)]
        for wide in sorted(view.wide_hits.intersection(words.wide)):
            ends += ((b"", match.end()) for match in islice(re.finditer(re.escape(wide), text, re.I), PLACES_MAX))
        for word, end in ends:
            match = pattern.match(text, end)
            if match is None or (word in _THINGS and not _SOMEBODY.search(text, max(0, end - 24), end - len(word))):
                continue
            if word != b"name" or not _OWNERS.isdisjoint(view.lower[max(0, end - 13) : end].split()[-2:-1]):
                yield Found("persons", "personal", match.start(1), match.end(1), 0.75, "name")


def named(view: View, confidence: float) -> Iterator[Found]:
    """Known given names followed by a surname or an initial."""
    for word, end in view.after(_NAMES):
        start = end - len(word)
        if view.shape[start : start + 1] == b"A":
            match = _PAIR.match(view.text, start)
            if match is not None and not _NOT_NAMES.match(match[1]):
                yield Found("persons", "personal", match.start(), match.end(), confidence, "name")


_CUES = frozenset((*_AT_ONCE_TEXT.split(), *_AFTER_IS_TEXT.split()))
DETECTOR = Detector(
    "persons",
    find,
    tags=("personal",),
    words=_CUES | FIRST_NAMES | {word.decode("latin-1") for word in _FIELDS | _TITLES},
    # What a name stands beside, where that has a label of its own.
    rests_on=frozenset(("national-id",)),
)
