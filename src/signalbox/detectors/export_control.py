"""Export-control markings: ITAR and EAR legends, classification numbers, European and national equivalents."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.phrases import Phrase, Phrases, phrase
from signalbox.detectors.view import View


def _rule(kind: str, confidence: float, words: str, *alternatives: str) -> Phrase:
    return phrase("export-controlled", kind, confidence, words, *alternatives)


_PHRASES = Phrases("export_control", (
    _rule(
        "itar", 0.9, "itar",
        r"\bitar[ -](?:controlled|restricted|technical data|regulated|export)", r"\bsubject to (?:the )?itar\b",
        r"\b(?:contains?|this is|includes?) itar\b", r"^\W*itar\W*$", r"\[itar\]", r"\(itar\)",
        r"\bitar\b(?=[^.\n]{0,60}\b(?:22 cfr|120|u\.?s\.? person|do not export))",
    ),
    _rule(
        "itar", 0.75, "arms & traffic export",
        r"\binternational traffic in arms regulations?\b", r"\barms export control act\b",
    ),
    _rule(
        "regulation", 0.7, "cfr",
        r"\b22 c\.?f\.?r\.?(?: parts?)? 12\d(?:\.\d+)?", r"\b15 c\.?f\.?r\.?(?: parts?)? 7[3-7]\d",
    ),
    _rule("usml", 0.9, "usml", r"\busml (?:category|cat\.?) ?(?:[ivx]{1,5}|\d{1,2})\b"),
    _rule("eccn", 0.9, "eccn", r"\beccn[ :#=]{0,3}(?:is )?\d[a-e]\d{3}(?:\.[a-z](?:\.\d+)?)?"),
    _rule(
        "ear", 0.85, "ear export & subject controlled",
        r"\bsubject to (?:the )?(?:export administration regulations|ear\b(?! ?99))", r"\bear[ -]controlled\b",
    ),
    _rule(
        "export-controlled", 0.85, "export exported & controlled restricted technical not without",
        r"\bexport[ -]controlled\b(?! ?:? ?no\b)", r"\bno export without (?:a )?licen[cs]e\b",
        r"\bcontains? (?:export[ -]controlled )?technical data whose export\b", r"\bnot to be exported\b",
        r"\bexport of this (?:material|document|data) is (?:restricted|controlled)\b",
    ),
    _rule("distribution-statement", 0.9, "distribution & statement", r"\bdistribution statement [b-f]\b"),
    _rule(
        "dual-use", 0.7, "dual 2021 & use 821",
        r"\bdual[ -]use (?:item|good|technology|regulation)s?\b(?=[^.\n]{0,80}\b(?:annex|licen[cs]e|2021/821|"
        r"controlled))",
        r"\bregulation \(eu\) 2021/821\b",
    ),
    _rule(
        "export-controlled", 0.85,
        "ausfuhrkontrolle exportkontrolle ausfuhrliste exportkontrolliert ausfuhrgenehmigungspflichtig",
        r"\bausfuhrgenehmigungspflichtig", r"\bexportkontrolliert",
        r"\bausfuhrliste (?:teil )?i?\s?(?:abschnitt )?[abc]\b", r"\bunterliegt der (?:ausfuhr|export)kontrolle\b",
    ),
    _rule(
        "export-controlled", 0.8, "exportation & soumis soumise soumises",
        r"\bsoumis(?:e|es)? [àa] (?:autorisation|contrôle)[^.\n]{0,20} (?:d.)?exportation\b",
    ),
    _rule(
        "export-controlled", 0.8, "exportación exportacion",
        r"\bsujet[oa]s? a(?:l)? control(?:es)? de exportaci[óo]n\b",
    ),
    _rule(
        "export-controlled", 0.8, "esportazione",
        r"\bsoggett[oaie] a(?:l)? controll[oi](?: \w+){0,2} (?:all.|di )esportazione\b",
    ),
    _rule(
        "export-controlled", 0.75, "wassenaar mtcr",
        r"\b(?:wassenaar|mtcr) (?:arrangement |annex |category )?(?:controlled|item|category \d)",
    ),
))  # fmt: skip


def find(view: View) -> Iterator[Found]:
    return _PHRASES.find(view)


DETECTOR = Detector(
    "export_control",
    find,
    tags=("export-controlled",),
    words=_PHRASES.announcing,
    context=_PHRASES.accompanying,
)
