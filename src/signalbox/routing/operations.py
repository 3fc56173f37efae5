"""What a question's words call for: to take away, to multiply, to divide. English; of other languages nothing is told.

An answer that never does what the question asks for has often misread it, however well its sums hold.
"""

from __future__ import annotations

import re

_TAKES_AWAY = re.compile(
    r"\b(?:fewer|less|left|remain(?:s|ed|ing|der)?|after|g[ai]ve[sn]?|giving|spen[dt]s?|los[te]s?|ate|eats?|difference"
    r"|discount(?:s|ed)?|off|change|minus|sold|used|away|t[ao]kes?|taken"
    r"|how (?:much|many) more|older|younger|profits?)\b",
    re.IGNORECASE,
)
_MULTIPLIES = re.compile(
    r"\b(?:each|per|every|twice|doubles?d?|triples?d?|times|as (?:many|much|old|long|tall|far)"
    r"|an? (?:hour|day|week|month|year|piece)|dozens?)\b|%",
    re.IGNORECASE,
)
_DIVIDES = re.compile(
    r"\b(?:half|thirds?|quarters?|fifths?|average|mean|split|share[sd]?|equally|evenly|divided?|ratio)\b|\d/\d",
    re.IGNORECASE,
)
_WORDS = (("-", _TAKES_AWAY), ("*", _MULTIPLIES), ("/", _DIVIDES))


def called_for(question: str) -> frozenset[str]:
    """The signs among `-*/` that its words ask for."""
    return frozenset(sign for sign, words in _WORDS if words.search(question))
