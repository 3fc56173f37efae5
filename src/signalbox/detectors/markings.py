"""Confidentiality markings in many languages: what a document says about itself, not what it talks about.

A marking is a set phrase, or a marking word that stands as one: in capitals, alone on its line, or after a word such
as `Classification:`. The same word inside a sentence (`a confidential conversation`) is none, but for sentences in
Chinese, Japanese and Korean that say what their document is (detectors/said_markings.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from signalbox.core.pattern import compiled_later
from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.phrases import Phrases, phrase
from signalbox.detectors.said_markings import said
from signalbox.detectors.view import PLACES_MAX, View

_INTERNAL, _CONFIDENTIAL, _RESTRICTED = "internal", "confidential", "restricted"

# Single words and short phrases that mark when they stand alone, in capitals or after an introduction.
_TERMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (_RESTRICTED, (
        "strictly confidential", "highly confidential", "top secret", "secret", "restricted", "highly restricted",
        "streng vertraulich", "streng geheim", "geheim", "strictement confidentiel", "très secret", "secret défense",
        "estrictamente confidencial", "secreto", "alto secreto", "strettamente riservato", "segreto", "segretissimo",
        "riservatissimo", "estritamente confidencial", "secreto", "ultrassecreto", "strikt vertrouwelijk",
        "zeer vertrouwelijk", "staatsgeheim", "ściśle tajne", "tajne", "ściśle poufne", "strängt konfidentiellt",
        "hemlig", "kvalificerat hemlig", "erittäin salainen", "salainen", "strengt fortrolig", "strengt hemmelig",
        "hemmelig", "přísně tajné", "přísně důvěrné", "szigorúan titkos", "szigorúan bizalmas", "strict secret",
        "strict confidențial", "gizli", "çok gizli", "совершенно секретно", "секретно", "строго конфиденциально",
        "цілком таємно", "άκρως απόρρητο", "ακρως απορρητο", "απορρητο", "απόρρητο",
        "سري للغاية", "سري", "极机密", "绝密", "機密", "极秘", "極秘",
        "機密情報", "기밀", "대외비", "गोपनीय", "rahasia", "tối mật",
    )),
    (_CONFIDENTIAL, (
        "confidential", "company confidential", "private and confidential", "private & confidential",
        "commercial in confidence",
        "proprietary", "proprietary and confidential", "confidential and proprietary", "vertraulich",
        "geschäftsgeheimnis",
        "betriebsgeheimnis", "confidentiel",
        "diffusion restreinte", "secret des affaires", "confidencial",
        "difusión limitada", "riservato", "confidenziale", "vertrouwelijk", "poufne", "tajemnica przedsiębiorstwa",
        "zastrzeżone", "konfidentiellt", "konfidentiell", "luottamuksellinen", "fortroligt", "fortrolig",
        "konfidensielt",
        "důvěrné", "bizalmas", "confidențial", "özel", "kişiye özel", "ticari sır", "hizmete özel", "конфиденциально",
        "коммерческая тайна", "для служебного пользования", "конфіденційно", "εμπιστευτικό", "εμπιστευτικο",
        "خصوصي", "خاص وسري",
        "机密", "秘密", "保密", "商业秘密", "社外秘", "部外秘", "秘密保持", "取扱注意", "비밀", "사내 기밀",
    )),
    (_INTERNAL, (
        "internal use only", "for internal use only", "internal only", "company internal",
        "nur für den internen gebrauch",
        "nur für den dienstgebrauch", "interne verwendung", "nur intern", "usage interne", "usage interne uniquement",
        "uso interno", "solo uso interno", "solo per uso interno", "uso interno exclusivo", "apenas para uso interno",
        "alleen voor intern gebruik", "intern gebruik", "tylko do użytku wewnętrznego", "do użytku wewnętrznego",
        "endast för internt bruk", "för internt bruk", "vain sisäiseen käyttöön", "sisäinen", "kun til internt brug",
        "kun for intern bruk", "pouze pro interní potřebu", "csak belső használatra", "iç kullanım",
        "для внутреннего пользования", "για εσωτερική χρήση", "للاستخدام الداخلي فقط", "للاستخدام الداخلي",
        "内部资料", "仅供内部使用",
        "社内限", "社内限定", "내부용", "사내용",
    )),
)  # fmt: skip

# Phrases that are markings wherever they stand.
_PHRASES = Phrases("markings", (
    phrase("restricted", "tlp-red", 0.9, "tlp", r"\btlp ?[:-] ?red\b"),
    phrase("confidential", "tlp-amber", 0.9, "tlp", r"\btlp ?[:-] ?amber\b"),
    phrase("internal", "tlp-green", 0.9, "tlp", r"\btlp ?[:-] ?green\b"),
    phrase(
        "legal", "privileged", 0.9, "privileged privilege attorney anwaltsgeheimnis avocat",
        r"\battorney[ -]client (?:privilege|communication|confidential)", r"\battorney work[ -]product\b",
        r"\b(?:legally )?privileged (?:and|&|/) confidential\b", r"\bprivileged communication\b",
        r"\banwaltsgeheimnis\b", r"\bsecret professionnel de l.avocat\b",
    ),
    phrase(
        "government", "cui", 0.9, "cui unclassified",
        r"\bcui//[a-z-]+", r"\bcontrolled unclassified information\b",
        r"\bcui (?:basic|specified|category|designation)\b",
    ),
    phrase(
        "government", "classified", 0.9, "noforn orcon fvey sci nfd fouo nato ue rel",
        r"//(?:noforn|rel to|orcon|fvey|si|tk)\b", r"\bts//sci\b", r"\b(?:top )?secret//", r"\bvs[ -]nfd\b",
        r"\bfouo\b", r"\bnato (?:restricted|confidential|secret)\b", r"\b(?:restreint|confidentiel|secret) ue\b",
    ),
    phrase(
        "government", "classified", 0.9, "official enforcement eu vs & sensitive only restricted confidential "
            "secret vertraulich",
        r"\bofficial[ -]sensitive\b", r"\bfor official use only\b", r"\beu (?:restricted|confidential|secret)\b",
        r"\blaw enforcement sensitive\b", r"\bvs-vertraulich\b",
    ),
    phrase(
        "confidential", "notice", 0.9, "confidential & this company",
        r"\bthis (?:e-?mail|message|document|communication|memo|file|report|presentation)\b[^.\n]{0,80}\b"
        r"(?:is|are|contains?)\b[^.\n]{0,40}\bconfidential\b", r"\bcompany confidential\b",
    ),
    phrase(
        "confidential", "notice", 0.9,
        "distribute disclose share forward copy distributed disclosed shared copied & outside externally without & not",
        r"\b(?:do not|not to be|must not be) (?:distribute|disclose|share|forward|copy|disclosed|distributed|shared|"
        r"copied)"
        r"\b[^.\n]{0,60}\b(?:outside|externally|without)\b",
    ),
    phrase(
        "confidential", "notice", 0.9, "nda disclosure redistribution & under subject not",
        r"\bunder nda\b", r"\bnot for redistribution\b", r"\bsubject to (?:an? )?(?:nda|non-disclosure)\b",
    ),
    phrase(
        "confidential", "notice", 0.9, "confidence release & commercial public & in not",
        r"\bcommercial[ -]in[ -]confidence\b", r"\bnot for public release\b",
    ),
    phrase(
        "confidential", "notice", 0.9,
        "vertraulich vertrauliche confidentiel confidentielles confidencial riservato riservate riservata "
        "confidenziale "
        "confidenziali confidenciais vertrouwelijk vertrouwelijke",
        r"\bdiese(?:s|r)? (?:e-?mail|dokument|nachricht)\b[^.\n]{0,60}\bvertraulich",
        r"\bce (?:message|document|courriel)\b[^.\n]{0,60}\bconfidentiel",
        r"\beste (?:mensaje|documento|correo)\b[^.\n]{0,60}\bconfidencial",
        r"\bquest[oa] (?:messaggio|documento|e-?mail)\b[^.\n]{0,60}\b(?:riservat|confidenzial)",
        r"\besta? (?:mensagem|documento)\b[^.\n]{0,60}\bconfidencia",
        r"\bdit (?:bericht|document|e-?mail)\b[^.\n]{0,60}\bvertrouwelijk",
    ),
    phrase(
        "confidential", "insider", 0.9, "mnpi nonpublic embargoed material & mnpi public nonpublic until",
        r"\bmaterial non-?public information\b", r"\bmnpi\b", r"\bembargoed until\b",
    ),
))  # fmt: skip
_TERM_LEVEL = {term: level for level, terms in reversed(_TERMS) for term in terms}


def _is_unspaced(term: str) -> bool:
    return "\u3000" < term[0] < "\ud7b0"


def _by_anchor() -> dict[str, list[tuple[int, re.Pattern[str], str]]]:
    """Terms by their longest word: (characters before it, the whole term in any case, level), longest term first."""
    out: dict[str, list[tuple[int, re.Pattern[str], str]]] = {}
    for term in sorted(_TERM_LEVEL, key=len, reverse=True):
        if not _is_unspaced(term):
            anchor = max(re.findall(r"[^\W\d_]+", term), key=len)
            pattern = compiled_later(re.escape(term).replace(r"\ ", r"[ \-]") + r"(?!\w)", re.IGNORECASE)
            out.setdefault(anchor, []).append((term.index(anchor), pattern, _TERM_LEVEL[term]))
    return out


_ANCHORS = _by_anchor()
_ANCHOR_WORDS = {word.encode("latin-1"): word for word in _ANCHORS if max(word) < "\u0100"}
_NARROW, _WIDE = frozenset(_ANCHOR_WORDS), frozenset(_ANCHORS)
_UNSPACED = re.compile(
    "|".join(re.escape(term) for term in sorted(_TERM_LEVEL, key=len, reverse=True) if _is_unspaced(term))
)
_IDEOGRAPH = re.compile("[\u3040-\ud7af]")
_INTRODUCED = re.compile(
    r"(?i)(?:classification|classified(?: as)?|sensitivity|marking|security level|handling|protection level|"
    r"einstufung|klassifizierung|"
    r"schutzklasse|vertraulichkeit|niveau|clasificación|classificazione|classificação|classificatie|klasyfikacja|"
    r"klauzula|klassificering|luokitus|klassifisering|klassifikace|sınıflandırma|гриф|класс|ταξινόμηση|تصنيف|密级|"
    r"機密区分|status)"
    r"[ \t]{0,2}[:=\-–：][ \t]{0,2}[\"'*_\[(]{0,3}$"
)
# A line longer than this is no heading, and is not searched for its ends.
_LINE_MAX = 120
_POINTER = re.compile(r"[:=–：-]")
_DECORATION = " \t*_#=~<>[](){}|/\\-–—•·!.:\"'【】「」«»※★"
_UNCASED = re.compile(r"[\u0590-\u06ff\u0900-\u0e7f\u3000-\ud7af]")


def find(view: View) -> Iterator[Found]:
    yield from _PHRASES.find(view)
    for word in sorted(view.hits & _NARROW):
        yield from _terms(view, _ANCHORS[_ANCHOR_WORDS[word]], view.places(word))
    for word in sorted(view.wide_hits & _WIDE):
        places = (match.start() for match in re.finditer(re.escape(word), view.text, re.IGNORECASE))
        yield from _terms(view, _ANCHORS[word], places)
    if view.ideographs:
        for match in islice(_UNSPACED.finditer(view.text), 4 * PLACES_MAX):
            confidence = _stands(view.text, match.start(), match.end())
            if not confidence and said(view.text, match.start(), match.end()):
                confidence = 0.75
            if confidence:
                yield Found("markings", _TERM_LEVEL[match[0]], match.start(), match.end(), confidence, "marking")


def _terms(view: View, terms: list[tuple[int, re.Pattern[str], str]], places: Iterable[int]) -> Iterator[Found]:
    text = view.text
    for place in islice(places, PLACES_MAX):
        for before, pattern, level in terms:
            match = pattern.match(text, place - before) if place >= before else None
            if match is not None and not (match.start() and text[match.start() - 1].isalnum()):
                confidence = _stands(text, match.start(), match.end())
                if confidence:
                    yield Found("markings", level, match.start(), match.end(), confidence, "marking")
                break


def _stands(text: str, start: int, end: int) -> float:
    """How sure it is that a term stands as a marking and is not part of a sentence; 0 for a sentence."""
    line_start = text.rfind("\n", max(0, start - _LINE_MAX), start) + 1 or max(0, start - _LINE_MAX)
    line_end = text.find("\n", end, end + _LINE_MAX)
    line_end = min(len(text), end + _LINE_MAX) if line_end < 0 else line_end
    before, after = text[max(line_start, start - 64) : start], text[end : min(line_end, end + 64)]
    alone = not before.strip(_DECORATION) and not after.strip(_DECORATION)
    if _POINTER.search(before[-8:]) and _INTRODUCED.search(before):
        return 0.9
    if alone and line_end - line_start <= _LINE_MAX:
        return 0.9 if len(text) > end - start + 8 else 0.6
    term = text[start:end]
    phrase = " " in term
    if term.isupper() and len(term) >= 6:
        around = before[-24:] + after[:24]
        shouting = sum(char.islower() for char in around) < sum(char.isupper() for char in around)
        return 0.85 if phrase else 0.75 if not shouting or not before.strip(_DECORATION) else 0.45
    opened = before.rstrip(" \t")[-1:]
    if (opened and opened in "[(【「«*") and after.lstrip(" \t")[:1] in tuple("])】」»*"):
        return 0.7 if term[:1].isupper() or _UNCASED.match(term) else 0.45
    if not before.strip(_DECORATION) and after.lstrip()[:1] in tuple(":-–—|/") and term[:1] != term[:1].lower():
        return 0.8
    if phrase and term in ("for internal use only", "strictly confidential", "streng vertraulich"):
        return 0.7
    return 0.0


DETECTOR = Detector(
    "markings",
    find,
    tags=("internal", "confidential", "restricted", "legal", "government"),
    words=frozenset(_ANCHORS),
    hinting=_PHRASES.announcing,
    hinted=_PHRASES.hinted,
    context=_PHRASES.accompanying,
    wide_sign=lambda view: view.ideographs and _IDEOGRAPH.search(view.text) is not None,
)
