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
from signalbox.detectors.view import PLACES_MAX, View

_CAP = r"[A-ZÀ-ÖØ-ÞŁŚŻŹĆ][\w'’-]+"
_JOIN = r"(?:de|del|della|di|da|dos|das|van|von|der|den|zu|la|le|el|al|bin|ibn|y|e|af)"
NAME = rf"{_CAP}(?: (?:{_JOIN} ){{0,2}}(?:{_CAP}|[A-Z]\.?(?!\w))){{0,3}}"

# Sentences in which somebody is named: the words that must be there, and what leads to the name.
_INTRODUCED = re.compile(
    rf"(?:(?i:my (?:full )?name(?:['’]s| is)|i am called|name is|signed(?: by)?|ich heiße|ich heisse|mein name ist|"
    rf"je m['’]appelle|mon nom est|me llamo|mi nombre es|mi chiamo|il mio nome è|ik heet|mijn naam is|jag heter|"
    rf"mitt namn är|"
    rf"nimeni on|jeg heter|jeg hedder|mit navn er|nazywam się|mam na imię|meu nome é|me chamo|chamo-me|adım|"
    rf"меня зовут|мене звати|"
    rf"με λένε|jmenuji se|mă numesc|a nevem))[ :]{{1,2}}((?:{NAME})|[А-ЯІЇЄ][а-яіїє]+(?: [А-ЯІЇЄ][а-яіїє]+){{0,2}}|"
    rf"[Α-Ω]\w+(?: [Α-Ω]\w+)?)"
)
_FIELD = re.compile(rf"[\"']?[ \t]{{0,2}}[:=][ \t]{{0,4}}[\"']?((?:(?:Mr|Mrs|Ms|Dr|Prof)\.? )?{NAME}(?:,? {_CAP})?)")
_TITLE = re.compile(rf"\.? ({NAME})")
_PAIR = re.compile(
    rf"{_CAP}(?:-{_CAP})? (?:[A-Z]\.? )?(?:{_JOIN} ){{0,2}}({_CAP}(?: {_CAP})?|[A-Z]\.(?!\w)|[A-Z](?=[,;.)\s?]))"
)

_INTRODUCING_TEXT = """
    name called signed heiße heisse appelle nom llamo nombre chiamo nome heet naam heter namn nimeni hedder navn
    nazywam imię chamo adım зовут звати λένε jmenuji numesc nevem
"""
_INTRODUCING = frozenset(_INTRODUCING_TEXT.split())
_FIELDS = frozenset(
    b"name surname lastname firstname fullname forename patient employee customer applicant claimant insured "
    b"beneficiary signatory nombre apellidos apellido paciente cliente nom pr\xe9nom prenom vorname nachname "
    b"familienname "
    b"kunde mitarbeiter antragsteller cognome paziente voornaam achternaam naam nazwisko f\xf6rnamn efternamn "
    b"etunimi sukunimi fornavn etternavn efternavn nome sobrenome apelido m\xe9dico medico doctor physician remitente "
    b"recipient tenant borrower holder cardholder beneficiario".split()
)
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
    if not view.hits.isdisjoint(_INTRODUCING_BYTES) or view.wide_hits:
        for match in islice(_INTRODUCED.finditer(text), PLACES_MAX):
            yield Found("persons", "personal", match.start(1), match.end(1), 0.75, "name")
    company = any(found.tag in ("personal", "national-id") and found.confidence >= RAISES for found in view.found)
    for word, end in view.after(_FIELDS):
        match = _FIELD.match(text, end)
        if match is not None:
            known = match[1].split()[0].lower() in FIRST_NAMES
            confidence = 0.75 if known and " " in match[1] else 0.4 if word in _VAGUE else 0.65
            yield Found("persons", "personal", match.start(1), match.end(1), confidence, "name")
    for _, end in view.after(_TITLES):
        match = _TITLE.match(text, end)
        if match is not None:
            yield Found("persons", "personal", match.start(1), match.end(1), 0.6 if company else 0.4, "name")
    yield from named(view, 0.6 if company else 0.45)


def named(view: View, confidence: float) -> Iterator[Found]:
    """Known given names followed by a surname or an initial."""
    for word, end in view.after(_NAMES):
        start = end - len(word)
        if view.shape[start : start + 1] == b"A":
            match = _PAIR.match(view.text, start)
            if match is not None and not _NOT_NAMES.match(match[1]):
                yield Found("persons", "personal", match.start(), match.end(), confidence, "name")


_INTRODUCING_BYTES = frozenset(word.encode("latin-1") for word in _INTRODUCING if max(word) < "\u0100")
DETECTOR = Detector(
    "persons", find, words=_INTRODUCING | FIRST_NAMES | {word.decode("latin-1") for word in _FIELDS | _TITLES}
)
