"""Export-control markings: ITAR and EAR legends, classification numbers, European and national equivalents."""

from __future__ import annotations

import re
from collections.abc import Iterator

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

# (words of which one must occur, what is matched around them, kind, confidence)
_RULES: tuple[tuple[frozenset[bytes], re.Pattern[bytes], str, float], ...] = tuple(
    (frozenset(words.encode("latin-1").split()), re.compile(pattern.encode("latin-1"), re.IGNORECASE), kind, confidence)
    for words, pattern, kind, confidence in (
        ("itar", r"\bitar[ -](?:controlled|restricted|technical data|regulated|export)|\bsubject to (?:the )?itar\b|"
         r"\b(?:contains?|this is|includes?) itar\b|\bitar\b(?=[^.\n]{0,60}\b(?:22 cfr|120|u\.?s\.? person|"
         r"do not export))|"
         r"^\W*itar\W*$|\[itar\]|\(itar\)", "itar", 0.9),
        ("itar arms", r"\binternational traffic in arms regulations?\b|\barms export control act\b", "itar", 0.75),
        ("cfr", r"\b22 c\.?f\.?r\.?(?: parts?)? 12\d(?:\.\d+)?|"
            r"\b15 c\.?f\.?r\.?(?: parts?)? 7[3-7]\d", "regulation", 0.7),
        ("usml", r"\busml (?:category|cat\.?) ?(?:[ivx]{1,5}|\d{1,2})\b", "usml", 0.9),
        ("eccn", r"\beccn[ :#=]{0,3}(?:is )?(?!ear99)\d[a-e]\d{3}(?:\.[a-z](?:\.\d+)?)?", "eccn", 0.9),
        ("ear export", r"\bsubject to (?:the )?(?:export administration regulations|ear\b(?! ?99))|"
            r"\bear[ -]controlled\b",
         "ear", 0.85),
        ("export exported technical", r"\bexport[ -]controlled\b(?! ?:? ?no)|"
            r"\bcontains? (?:export[ -]controlled )?technical data "
         r"whose export\b|\bwarning\W{1,4}this document contains technical data\b|\bexport of this (?:material|"
         r"document|data) is "
         r"(?:restricted|controlled)\b|\bnot to be exported\b|"
         r"\bno export without (?:a )?licen[cs]e\b", "export-controlled", 0.85),
        ("distribution", r"\bdistribution statement [b-f]\b", "distribution-statement", 0.9),
        ("dual use doppio doble double uso", r"\bdual[ -]use (?:item|good|technology|"
            r"regulation)s?\b(?=[^.\n]{0,80}\b(?:annex|licen[cs]e|"
         r"2021/821|controlled))|\bregulation \(eu\) 2021/821\b", "dual-use", 0.7),
        ("ausfuhrkontrolle ausfuhrgenehmigung ausfuhrliste exportkontrolliert g\xfcter ausfuhrgenehmigungspflichtig aw",
         r"\bausfuhrgenehmigungspflichtig|\bexportkontrolliert|\bausfuhrliste (?:teil )?i?\s?(?:abschnitt )?[abc]\b|"
         r"\bunterliegt der (?:ausfuhr|export)kontrolle\b", "export-controlled", 0.85),
        ("exportation export\xe9 biens", r"\bsoumis(?:e|es)? [\xe0a] (?:autorisation|"
            r"contr\xf4le)[^.\n]{0,20} (?:d.)?exportation\b",
         "export-controlled", 0.8),
        ("exportaci\xf3n exportacion", r"\bsujet[oa]s? a(?:l)? control(?:es)? de "
            r"exportaci[\xf3o]n\b", "export-controlled", 0.8),
        ("esportazione", r"\bsoggett[oaie] a(?:l)? controll[oi](?: \w+){0,2} (?:all.|di "
            r")esportazione\b", "export-controlled", 0.8),
        ("wassenaar mtcr nuclear", r"\b(?:wassenaar|mtcr) (?:arrangement |annex |category )?(?:controlled|item|"
            r"category \d)",
         "export-controlled", 0.75),
    )
)  # fmt: skip
_WORDS = frozenset[bytes]().union(*(words for words, *_ in _RULES))


def find(view: View) -> Iterator[Found]:
    for words, pattern, kind, confidence in _RULES:
        if words.isdisjoint(view.hits):
            continue
        for start, end in view.around(words, 90, 90):
            for match in pattern.finditer(view.flat, start, end):
                yield Found("export_control", "export-controlled", match.start(), match.end(), confidence, kind)


DETECTOR = Detector("export_control", find, words=frozenset(word.decode("latin-1") for word in _WORDS))
