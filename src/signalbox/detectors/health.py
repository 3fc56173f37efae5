"""Health data of somebody: clinical words together with what identifies a person (45 CFR 164.514(b)(2) lists it).

Clinical words alone are general questions, identifiers alone are personal data. Only where both meet are the
identifiers reported again as health data, including weak ones that say nothing elsewhere: a bare name, a day, a clinic.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain, islice

from signalbox.detectors import care_places, health_abroad
from signalbox.detectors.dates import FULL, MONTH_WORDS
from signalbox.detectors.detector import Detector
from signalbox.detectors.first_names import FIRST_NAMES
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.health_words import CARE, STRONG, WEAK
from signalbox.detectors.names_abroad import CUED
from signalbox.detectors.persons import named
from signalbox.detectors.view import PLACES_MAX, View, Words

_STRONG = frozenset(word.encode("latin-1") for word in STRONG if max(word) < "\u0100")
_WEAK = frozenset(word.encode("latin-1") for word in WEAK if max(word) < "\u0100")
_CARE = frozenset(word.encode("latin-1") for word in CARE if max(word) < "\u0100")

# Words that also belong to law, money, machines and play; alone they do not make a text clinical.
_AMBIGUOUS = frozenset(
    b"pain depression fever operation dose therapy diagnosis diagnostic admission discharge acute chronic ct pt "
    b"withdrawal "
    b"tension stroke surgery symptoms symptom diagnose lesion rash dm2 tx rx anxiety addiction platelet cancer "
    b"fracture "
    b"ingreso dolor behandlung behandeling behandling traitement tratamiento trattamento leczenie hoito discharged "
    b"admitted "
    b"insomnia dental paralysis suicide cancers flu scoliosis lipid nodule nodules hernias cardiology radiology "
    b"diagnosed headache cough obesity pregnant medication aids immunization lithium glucose hernia analitica "
    b"wbc".split()
)
_ENOUGH = 2
# A clinical word of its own, where everything is reported.
_LEAST = 0.45
# How sure it must be that somebody is identified, where a single word is clinical.
_SOMEBODY = 0.6
_IDENTIFYING = frozenset(("personal", "national-id", "pci", "financial"))

# So many signs between cells make a table of several rows.
_CELLS_MIN = 12
# Elements read in one text: a record has dozens, a long conversation may mention thousands.
_ELEMENTS_MAX = 500

# `52-year-old female`, `34yo m`: how clinicians begin; and how names of drugs, operations and conditions end.
_AGED = re.compile(
    rb"\d ?(?:year old|yr old|month old|yo|y o) +(?:male|female|man|woman|boy|girl|infant|patient|pt|m|f|child)\b"
)
_AGE_WORDS = frozenset((b"old", b"yo"))
_MEDICAL = frozenset(
    b"patient patients doctor physician clinic clinical hospital nurse treatment treatments paciente patientin medico "
    b"m\xe9dico arzt klinik krankenhaus m\xe9decin h\xf4pital paziente ospedale ziekenhuis pacjent pacjenta szpital "
    b"lekarz sjukhus l\xe4kare potilas sairaala sykehus lege l\xe6ge medical".split()
)
_SUFFIXES = (
    b"ectomy", b"otomy", b"plasty", b"itis", b"emia", b"aemia", b"azole", b"cillin", b"mycin", b"sartan", b"statin",
    b"olol",
    b"zepam", b"zolam", b"oxetine", b"prazole", b"gliptin", b"gliflozin", b"tinib", b"parin", b"xaban", b"cardia",
)  # fmt: skip
_ENDINGS = tuple(suffix + b" " for suffix in _SUFFIXES)
_ENDING_PIECES = frozenset(_ENDINGS)

_CAP = r"[A-ZÀ-ÖØ-Þ][\w'’-]+"
_INITIALED = re.compile(rf"(?<![\w.])({_CAP}) ([A-Z])\.(?=[\s,;?!)]|$)")
_INITIAL_HINT = re.compile(rb"a A\.")
_FACILITY = re.compile(
    rf"((?:{_CAP}|St\.|of|de|la|del)(?: (?:{_CAP}|of|de|la|del|the|St\.)){{0,4}}|(?:{_CAP})['’]s?) "
    r"(?:Hospital|Clinic|Medical Center|Medical Centre|Health(?:care)?(?: Center| System| Clinic)?|Center|Centre|"
    r"Klinik|"
    r"Infirmary|Nursing Home|Hospice|Institute|Krankenhaus|Sinai|Medicine|Memorial|General)\b"
)
_FACILITY_WORDS = frozenset(
    b"hospital clinic center centre klinik infirmary hospice sinai memorial krankenhaus health healthcare "
    b"general".split()
)
_FACILITY_AFTER = re.compile(
    rf" (?:(?:de|del|la|le|of|San|St\.?|Universitario|Clínico|General|"
    rf"Virgen) ){{0,4}}{_CAP}(?: (?:de |del )?{_CAP}){{0,3}}"
)
_FACILITY_FIRST = frozenset(
    b"hospital h\xf4pital ospedale klinikum krankenhaus universit\xe4tsklinikum szpital ziekenhuis sjukhus".split()
)
_PLACE = re.compile(
    rf"(?:(?i:resid(?:ent|es|ing) (?:of|in)|liv(?:es|ing) (?:in|near|at)|from|native of|based in|located in|home in))"
    rf" ((?:the )?{_CAP}(?: {_CAP}){{0,2}}(?:, [A-Z]{{2}}\b|, {_CAP})?)"
)
_IN_PLACE = re.compile(rf"\b(?:in|at|near|of|from|to) ({_CAP}(?: {_CAP}){{0,2}}, (?:[A-Z]{{2}}\b|{_CAP}))")
_TOWN = re.compile(
    rf"\b(?:in|at|near|of|from|to) ((?:{_CAP} ){{1,2}}(?:City|County|Springs|Beach|Heights|Falls|"
    rf"Rapids|Valley))$"
)
_TOWN_WORDS = frozenset(b"city county springs beach heights falls rapids valley".split())
_PLACE_WORDS = frozenset(b"resident residing resides lives living from native based located home".split())
_RECORD = re.compile(
    r"(?:[ ](?:number|no|nr|num|id|#|record number|record|member id|beneficiary|plan)){0,2}\.?['\"]?(?: is|"
    r" of)?[ ]{0,2}[:#=]{0,2}[ ]{0,2}#?"
    r"((?=[A-Za-z-]{0,12}\d)[A-Za-z0-9]{1,14}(?:[-/.][A-Za-z0-9]{1,12}){0,4})"
)
_RECORD_WORDS = frozenset(
    b"mrn mrns nhc nass medical record records chart member policy plan beneficiary subscriber insurance medicaid "
    b"medicare "
    b"account accession encounter case file id identifier certificate license patientid hpbn hpb hbn historia episodio "
    b"fallnummer patientennummer versichertennummer krankenversichertennummer dossier cartella dossiernummer "
    b"number".split()
)
_SURE_RECORDS = frozenset(
    b"mrn mrns nhc nass fallnummer patientennummer versichertennummer krankenversichertennummer hpbn hpb hbn "
    b"episodio".split()
)
# What stands right before the number of a record, a plan or a policy, however that is written.
RECORD_NUMBER = "record-number"
_LEAD_LIST = "mrn medical patient hospital health plan policy member insurance beneficiary subscriber"
RECORD_LEADS = Words(_LEAD_LIST.split())
_RECORD_LEAD = re.compile(
    rb"(?:\bmrn|\b(?:medical|patient|hospital|health)(?:['\x92]s)? (?:record|chart|file|id)|"
    rb"\b(?:(?:health|insurance) )?(?:plan|policy|member|beneficiary|subscriber)(?: id)?|"
    rb"\b(?:health )?insurance(?: id)?)"
    rb"(?: (?:number|no|nr|num|id))?\.?(?: is| was| of)?[ :=#(\"'*]{0,4}$"
)
_TITLED = re.compile(rf"\.? ({_CAP}(?: {_CAP}){{0,2}})")
_TITLES = frozenset(
    b"mr mrs ms miss dr drs prof herr herrn frau mme mlle monsieur madame se\xf1or se\xf1ora sr sra dra don "
    b"do\xf1a".split()
)
_NOT_A_NAME_TEXT = """
    type stage class grade grupo group hepatitis vitamin factor phase schedule part table figure
"""
_NOT_A_NAME = frozenset(_NOT_A_NAME_TEXT.split())


# `Priya, 32,` and `William Foster (78)`; `my dad William Foster`, `the boy, Liam Novak`.
_OF_AN_AGE_HINT = re.compile(rb"a(?:, | \()0{1,3}[,)]")
_OF_AN_AGE = re.compile(rf"({_CAP}(?: {_CAP}){{0,2}})(?:, | \()\d{{1,3}}[,)]")
_INITIAL_FIRST_HINT = re.compile(rb" A\. Aa")
_INITIAL_FIRST = re.compile(rf"[A-Z]\. ({_CAP})")
_MICROBES = frozenset(("coli", "pylori", "aureus", "difficile", "influenzae", "pneumoniae", "albicans", "falciparum"))
_RELATIVES = frozenset(
    b"boy girl man woman mother father dad mom mum son daughter wife husband brother sister resident client "
    b"grandmother grandfather aunt uncle baby".split()
)
_RELATED = re.compile(rf",? ({_CAP} {_CAP}(?: {_CAP})?)")
_AGED_WORDS = frozenset((b"age", b"aged"))
_BEFORE_AGE = re.compile(rf"({_CAP} {_CAP}(?: {_CAP})?),? (?:age|aged) \d")


def find(view: View) -> Iterator[Found]:
    certainty = clinical(view)
    if certainty == 0.0:
        return
    if view.marks.count(b"|") < _CELLS_MIN:
        yield from _told(view, certainty)
        return
    rows = _clinical_rows(view)
    for found in _told(view, certainty):
        if rows is None or view.flat.count(b"\n", 0, found.start) in rows:
            yield found


def _clinical_rows(view: View) -> set[int] | None:
    """The rows of a table that have a clinical word in them; None where its head or the text around it has one, so that
    all of it is about health. In other tables one row is about an illness and another one about somebody."""
    flat = view.flat
    lines = flat.split(b"\n")
    head = next((at for at, line in enumerate(lines) if line.count(b"|") > 1), 0)
    rows: set[int] = set()
    for word in (_STRONG | _WEAK) & view.hits:
        for place in view.places(word):
            row = flat.count(b"\n", 0, place)
            if row <= head or lines[row].count(b"|") < 2:
                return None
            rows.add(row)
    return rows or None


def _told(view: View, certainty: float) -> Iterator[Found]:
    before = {(found.start, found.end): found for found in view.found if _identifies(found)}
    if certainty < RAISES and any(found.confidence >= _SOMEBODY for found in before.values()):
        certainty = RAISES  # one clinical word about somebody who is named as people are in records
    if certainty < RAISES and any(found.kind == RECORD_NUMBER for found in before.values()):
        certainty = RAISES  # the number of somebody's record
    abroad = tuple(islice(health_abroad.elements(view), _ELEMENTS_MAX)) if view.beyond else ()
    if certainty < RAISES and any(confidence >= CUED for *_, confidence in abroad):
        certainty = RAISES
    if view.brief and certainty < RAISES:
        return
    for found in before.values():
        yield Found("health", "phi", found.start, found.end, min(max(0.6, found.confidence), certainty), found.kind)
    # One for each start: a clinic may be told by its name and by what is done there.
    places: dict[int, tuple[int, int, str, float]] = {}
    alone = not before
    for element in islice(chain(abroad, _elements(view)), _ELEMENTS_MAX):
        start, end, kind, confidence = element
        if (start, end) in before:
            continue
        if kind in ("place", "facility"):
            places.setdefault(start, element)
        else:
            alone = False
            yield Found("health", "phi", start, end, min(confidence, certainty), kind)
    # A place alone is not yet somebody: clinics and towns stand in general questions as well.
    for start, end, kind, confidence in places.values():
        yield Found("health", "phi", start, end, min(0.45 if alone else confidence, certainty), kind)


def clinical(view: View) -> float:
    """How sure it is that the text is about somebody's health: 0 when it is not."""
    return max(_in_latin(view), health_abroad.clinical(view)) if view.beyond else _in_latin(view)


def _in_latin(view: View) -> float:
    strong = view.hits & _STRONG
    sure = len(strong - _AMBIGUOUS)
    if not sure and (_is_aged(view) or _has_term(view)):
        sure = 1
    vague = len(strong) - sure + len(view.hits & _WEAK)
    if sure and (sure + vague >= _ENOUGH or not view.hits.isdisjoint(_CARE)):
        return 0.9
    if vague > _ENOUGH or (vague == _ENOUGH and strong and not view.hits.isdisjoint(_CARE)):
        return 0.6
    return _LEAST if sure else 0.0


def is_of_a_record(view: View, start: int) -> bool:
    """Whether a number in clinical text is said to be that of a record, a plan or a policy."""
    return _RECORD_LEAD.search(view.flat[max(0, start - 48) : start].lower()) is not None and clinical(view) > 0.0


def _is_aged(view: View) -> bool:
    if view.hits.isdisjoint(_AGE_WORDS):
        return False
    if view.padded.find(b"yo ") >= 0 or view.padded.find(b"y o ") >= 0:
        return _AGED.search(view.lower) is not None
    return any(_AGED.search(view.lower, start, end) for start, end in view.around(_AGE_WORDS, 16, 32))


def _has_term(view: View) -> bool:
    if view.hits.isdisjoint(_MEDICAL):
        return False
    padded, pieces = view.padded, view.pieces
    for ending in _ENDINGS if pieces is None else pieces & _ENDING_PIECES:
        at = padded.find(ending)
        while at >= 0:
            if padded[max(0, at - 7 + len(ending)) : at].find(b" ") < 0:
                return True
            at = padded.find(ending, at + 1)
    return False


def _identifies(found: Found) -> bool:
    return found.tag in _IDENTIFYING and found.confidence >= 0.4


def _elements(view: View) -> Iterator[tuple[int, int, str, float]]:
    """Identifiers that count only in clinical text."""
    text = view.text
    for found in named(view, 0.8):
        yield found.start, found.end, "name", 0.8
    for hint in islice(_INITIAL_HINT.finditer(view.shape), PLACES_MAX):
        match = _INITIALED.search(text, max(0, hint.start() - 24), hint.end() + 2)
        if match is not None and match[1].lower() not in _NOT_A_NAME:
            yield match.start(), match.end(), "name", 0.8 if match[1].lower() in FIRST_NAMES else 0.65
    for _, end in view.after(_TITLES):
        match = _TITLED.match(text, end)
        if match is not None:
            yield match.start(1), match.end(1), "name", 0.75
    yield from _people(view)
    yield from _places(view)
    low = view.flat.lower()
    for start, end in _date_windows(view):
        for match in FULL.finditer(low, start, end):
            yield match.start(), match.end(), "date", 0.7
    for word, end in view.after(_RECORD_WORDS):
        match = _RECORD.match(text, end)
        if match is not None and (word in _SURE_RECORDS or len(match[1]) >= 5):
            yield match.start(1), match.end(1), "record-number", 0.85 if word in _SURE_RECORDS else 0.7


def _people(view: View) -> Iterator[tuple[int, int, str, float]]:
    """Somebody whose name nobody knows, told by an age or as whose relative."""
    text = view.text
    for hint in islice(_OF_AN_AGE_HINT.finditer(view.shape), PLACES_MAX):
        match = _OF_AN_AGE.search(text, max(0, hint.start() - 40), hint.end())
        if match is not None and match.end() == hint.end() and match[1].split()[0].lower() not in _NOT_A_NAME:
            yield match.start(1), match.end(1), "name", 0.7
    for hint in islice(_INITIAL_FIRST_HINT.finditer(view.shape), PLACES_MAX):
        match = _INITIAL_FIRST.match(text, hint.start() + 1)
        if match is not None and match[1].lower() not in _MICROBES:
            yield hint.start() + 1, match.end(), "name", 0.65
    for _, end in view.after(_RELATIVES):
        match = _RELATED.match(text, end)
        if match is not None:
            yield match.start(1), match.end(1), "name", 0.7
    for _, end in view.after(_AGED_WORDS):
        match = _BEFORE_AGE.search(text, max(0, end - 48), end + 3)
        if match is not None:
            yield match.start(1), match.end(1), "name", 0.7


def _places(view: View) -> Iterator[tuple[int, int, str, float]]:
    text = view.text
    for word, end in view.after(_FACILITY_WORDS):
        start = end - len(word)
        if view.shape[start : start + 1] == b"A":
            match = _FACILITY.search(text, max(0, start - 48), end + 16)
            if match is not None and match.end() >= end:
                yield match.start(), match.end(), "facility", 0.7
    for word, end in view.after(_FACILITY_FIRST):
        match = _FACILITY_AFTER.match(text, end)
        if match is not None:
            yield end - len(word), match.end(), "facility", 0.7
    for _, end in view.after(_PLACE_WORDS):
        match = _PLACE.search(text, max(0, end - 10), end + 64)
        if match is not None and match.start() <= end:
            yield match.start(1), match.end(1), "place", 0.65
    for at in islice(_joints(view.shape), 4 * PLACES_MAX):
        match = _IN_PLACE.search(text, max(0, at - 40), at + 24)
        if match is not None and match.end() > at:
            yield match.start(1), match.end(1), "place", 0.65
    for _, end in view.after(_TOWN_WORDS):
        match = _TOWN.search(text, max(0, end - 40), end)
        if match is not None:
            yield match.start(1), match.end(1), "place", 0.65
    if not view.brief:  # a place raises no label by itself, so only who wants all of them pays for these
        yield from care_places.places(view)


def _joints(shape: bytes) -> Iterator[int]:
    """Where `Town, ST` or `Town, State` has its comma."""
    at = shape.find(b"a, A")
    while at >= 0:
        yield at
        at = shape.find(b"a, A", at + 1)


def _date_windows(view: View) -> Iterator[tuple[int, int]]:
    """Where dates may be: numbers with date separators, and the surroundings of month names."""
    done = 0
    for match in islice(_NUMERIC.finditer(view.shape), 4 * PLACES_MAX):
        if match.start() >= done:
            done = match.end() + 6
            yield match.start(), done
    yield from view.around(MONTH_WORDS, 14, 14)


# Begins with a digit by itself, so that a search can skip to one.
_NUMERIC = re.compile(rb"00{0,3}[-/.] ?0{1,2}[-/.] ?0{2}")
# The gate learns these words as well, so that places of them are known when clinical text is read.
_CONTEXT = (
    MONTH_WORDS
    | _RELATIVES
    | _AGED_WORDS
    | _TOWN_WORDS
    | _RECORD_WORDS
    | _TITLES
    | _PLACE_WORDS
    | _FACILITY_WORDS
    | _FACILITY_FIRST
)
DETECTOR = Detector(
    "health",
    find,
    tags=("phi",),
    ready=health_abroad.ready,
    wide_sign=health_abroad.may_be_clinical,
    rests_on=_IDENTIFYING,
    holds=lambda view: clinical(view) >= _LEAST,
    words=STRONG | {word.decode("latin-1") for word in _MEDICAL | _AGE_WORDS},
    pieces=_ENDING_PIECES,
    context=WEAK | CARE | care_places.WORDS | {word.decode("latin-1") for word in _CONTEXT},
)
