"""What of a text counts: the same whatever its case and blanks, and with or without a greeting around it."""

from __future__ import annotations

import re
import unicodedata

# Long texts are judged by their two ends: the task stands there, and what lies between costs time.
HEAD_CHARS, TAIL_CHARS = 1200, 500
# So much of each end is looked at before blanks and greetings are gone.
_RAW_HEAD, _RAW_TAIL = 2400, 1200
_RAW_MAX = _RAW_HEAD + _RAW_TAIL
_GREETING = re.compile(
    r"(?:(?:hi|hello|hey|greetings|good (?:morning|afternoon|evening|day)|dear (?:all|team|assistant|sir|madam)"
    r"|please|pls|thanks|thank you)(?: there| all| everyone| team| assistant| so much| very much| a lot| in advance)?"
    r"(?:[,.!:;-]+ ?| |$)+)+"
)
_THANKS = re.compile(
    r"(?:(?:^|[ ,.!?;:-])(?:please|pls|thanks|thank you|many thanks|thx|cheers|(?:best|kind|warm) regards|regards"
    r"|have a (?:nice|great|good) (?:day|one)|i appreciate (?:it|your help))"
    r"(?: so much| very much| in advance| a lot| again| for your (?:help|time))*[,.! ]*)+$"
)
# Thanks and the like stand within so many characters of the end.
_THANKS_CHARS = 80


def normalise(text: str) -> tuple[str, int]:
    """The text as it is judged, and how long it would be uncut. Empty for a text that is nothing but pleasantries."""
    chars = len(text)
    whole = chars <= _RAW_MAX
    if not whole:
        text = f"{text[:_RAW_HEAD]} {text[-_RAW_TAIL:]}"
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    text = without_pleasantries(" ".join(text.lower().split()))
    if whole:
        chars = len(text)
    if len(text) > HEAD_CHARS + TAIL_CHARS:
        text = f"{text[:HEAD_CHARS]} {text[-TAIL_CHARS:]}"
    return text, chars


def without_pleasantries(text: str) -> str:
    """A text in lower case with single blanks, without greetings before it and thanks after it."""
    before = _GREETING.match(text)
    if before is not None:
        text = text[before.end() :]
    start = max(0, len(text) - _THANKS_CHARS)
    after = _THANKS.search(text, start)
    if after is not None:
        # The mark that ends the sentence before belongs to that sentence.
        at = after.start()
        text = text[: at + 1] if text[at : at + 1] in ".!?" else text[:at]
    return text.strip()
