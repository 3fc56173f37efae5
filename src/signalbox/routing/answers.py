"""What can be seen of an answer without knowing the right one, as numbers, and how far it is to be trusted. Pure.

No label and no data set is looked at: the question, what its caller demanded of the answer, and the answer itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.routing.arithmetic import numbers, reckoned
from signalbox.routing.operations import called_for
from signalbox.wire.answer_schema import faults

# Of a long text both ends are looked at, so that the work is bounded.
END_CHARS = 3_000


class Asked(msgspec.Struct, frozen=True):
    """What a call demanded. prompt: the last thing that its user said. difficulty: how hard the question looked before
    it was answered, 0 to 1, 0 when nobody said. json: the answer must be JSON; schema: must conform to this. tools:
    declared ones by name, with the schema of their arguments. calls: it must call a tool."""

    prompt: str = ""
    difficulty: float = 0.0
    json: bool = False
    schema: dict[str, Any] | None = None
    tools: dict[str, Any] = {}
    calls: bool = False


class Answered(msgspec.Struct, frozen=True):
    """One answer. finish: as in core.hub. calls: names and JSON arguments of the tools that it calls. logprobs: of its
    tokens, natural logarithms, where given. others: what other cheap models or further samples answered."""

    text: str
    finish: str = "stop"
    refused: bool = False
    calls: tuple[tuple[str, str], ...] = ()
    logprobs: tuple[float, ...] = ()
    others: tuple[str, ...] = ()


# In the order of `features`. Shares and flags are 0 to 1; the rest are logarithms of counts.
FEATURES = (
    "empty",
    "length",
    "length_to_prompt",
    "lines",
    "cut",
    "refusal",
    "hedges",
    "questions",
    "repeats",
    "echo",
    "json_broken",
    "schema_faults",
    "tools_broken",
    "tools_missing",
    "equations",
    "equations_wrong",
    "last_equation_wrong",
    "operations_missing",
    "conclusion",
    "prompt_numbers",
    "prompt_numbers_unused",
    "conclusion_in_prompt",
    "conclusion_fraction",
    "conclusion_size",
    "conclusion_unreckoned",
    "conclusion_not_last_result",
    "conclusion_words",
    "numbers",
    "prompt_length",
    "prompt_questions",
    "difficulty",
    "logprob_given",
    "logprob_mean",
    "logprob_min",
    "others_given",
    "others_disagree",
    "others_none",
    "others_against",
)

# Before there is anything to learn from: what makes an answer doubtful anywhere, by feature. Not fitted; one failed
# check of form is enough to doubt, one hedge is not.
_PRIOR_BIAS = 3.0
# A value so many times the usual spread away is as far as was ever learnt from: what lies beyond counts no more.
_FAR = 4.0
_PRIOR = {
    "empty": -8.0,
    "cut": -4.0,
    "refusal": -4.0,
    "hedges": -0.8,
    "repeats": -2.0,
    "json_broken": -8.0,
    "schema_faults": -12.0,
    "tools_broken": -8.0,
    "tools_missing": -8.0,
    "equations_wrong": -4.0,
    "last_equation_wrong": -2.0,
    "difficulty": -2.0,
    "logprob_mean": 1.5,
    "others_disagree": -5.0,
}

_REFUSES = re.compile(
    r"\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can(?:no|')t|cannot|won't|will not|must decline)\b"
    r"|as an ai\b|(?:not (?:able|allowed|permitted)|unable) to (?:help|assist|provide|answer)"
    r"|es tut mir leid|ich kann (?:ihnen |dir )?(?:dabei |damit )?nicht|je suis désolé|je ne peux pas"
    r"|lo siento|no puedo (?:ayudar|responder|proporcionar)|mi dispiace|non posso)",
    re.IGNORECASE,
)
# A refusal is said at the beginning; later on the same words quote or qualify.
_REFUSAL_CHARS = 240
_HEDGES = re.compile(
    r"\b(?:not (?:entirely |completely |quite )?(?:sure|certain|clear)|i (?:think|believe|guess|assume)"
    r"|it (?:seems|appears)|might|maybe|perhaps|possibly|probably|presumably|unclear|ambiguous"
    r"|can(?:no|')t be determined"
    r"|not enough information|insufficient information|let me (?:re|try again)|wait,|hmm|actually,|apologies|correction"
    r"|vielleicht|wahrscheinlich|vermutlich|peut-être|probablement|quizás|tal vez|probablemente|forse)",
    re.IGNORECASE,
)
_CONCLUSIONS = (
    re.compile(r"####\s*([^\n]{1,200})"),
    re.compile(r"\\boxed\{([^{}]{1,200})\}"),
    re.compile(r"\*\*(?:final )?answer:?\*\*:?\s*([^\n]{1,200})", re.IGNORECASE),
    re.compile(
        r"(?:final answer|answer|result|antwort|réponse|respuesta)(?: is| ist| est| es)?:?\s+([^\n]{1,200})",
        re.IGNORECASE,
    ),
)
_WORDS = re.compile(r"\w+")
_RESULT = re.compile(r"=\s*[$€£]?(?:<<[^<>\n]{1,160}>>)?\s*[$€£]?(\d[\d,]*(?:\.\d+)?)")


class Head(msgspec.Struct, frozen=True):
    """Turns FEATURES into trust: a logistic curve over standardised features. names: the features it was fitted on, so
    that one of another version is noticed. mean, scale, weights: in their order."""

    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def fits(self) -> bool:
        """Whether it is one for the features of this version, with finite numbers."""
        sizes = {len(self.names), len(self.mean), len(self.scale), len(self.weights)}
        rest = (*self.mean, *self.scale, *self.weights, self.bias)
        return self.names == FEATURES and len(sizes) == 1 and all(map(math.isfinite, rest)) and all(self.scale)

    def trust(self, found: Sequence[float]) -> float:
        """How probable it is that an answer with these features is good, 0 to 1."""
        lot = self.bias
        for value, mean, scale, weight in zip(found, self.mean, self.scale, self.weights, strict=True):
            lot += weight * max(-_FAR, min(_FAR, (value - mean) / scale))
        return 1.0 / (1.0 + math.exp(-max(-30.0, min(30.0, lot))))


PRIOR = Head(
    FEATURES,
    (0.0,) * len(FEATURES),
    (1.0,) * len(FEATURES),
    tuple(_PRIOR.get(name, 0.0) for name in FEATURES),
    _PRIOR_BIAS,
)


def features(asked: Asked, answered: Answered) -> tuple[float, ...]:
    """FEATURES of one answer."""
    text, prompt = _ends(answered.text), _ends(asked.prompt)
    stripped = text.strip()
    lines = [line.strip() for line in stripped.splitlines() if line.strip()]
    length, prompt_length = math.log1p(len(answered.text)), math.log1p(len(asked.prompt))
    broken, unfit = _form(asked, answered)
    tools_broken, tools_missing = _tools(asked, answered)
    return (
        float(not stripped and not answered.calls),
        length,
        length - prompt_length,
        math.log1p(len(lines)),
        float(answered.finish in ("length", "error", "pause")),
        float(answered.refused or answered.finish in ("refusal", "content_filter") or _refuses(stripped)),
        math.log1p(sum(1 for _ in _HEDGES.finditer(text))),
        math.log1p(text.count("?")),
        1.0 - len(set(lines)) / len(lines) if lines else 0.0,
        _echo(prompt, stripped),
        broken,
        unfit,
        tools_broken,
        tools_missing,
        *_reckoned(prompt, text, lines),
        prompt_length,
        math.log1p(prompt.count("?")),
        asked.difficulty,
        *_likelihood(answered.logprobs),
        *_agreement(text, answered.others),
    )


def conclusion(text: str) -> str:
    """What an answer comes to, in a form that can be compared: the last stated result, else its last line; a number
    without its unit, a choice without its bracket, everything else in lower case without punctuation, lists of numbers
    included."""
    found = _stated(text)
    values = numbers(found)
    if values and not (len(values) > 1 and found.lstrip(" `$(").startswith(("[", "{"))):
        return f"{values[-1]:.6g}"
    choice = re.match(r"\W*([A-Za-z])(?:[).:\s]|\Z)", found)
    if choice is not None:
        return choice.group(1).upper()
    return " ".join(_WORDS.findall(found.lower()))[:200]


def _stated(text: str) -> str:
    """The last result that is marked as one, else the last line."""
    for form in _CONCLUSIONS:
        found = form.findall(text)
        if found:
            return found[-1]
    return next((line for line in reversed(text.strip().splitlines()) if line.strip()), "")


def _ends(text: str) -> str:
    return text if len(text) <= 2 * END_CHARS else f"{text[:END_CHARS]}\n{text[-END_CHARS:]}"


def _refuses(text: str) -> bool:
    return _REFUSES.search(text[:_REFUSAL_CHARS]) is not None


def _echo(prompt: str, text: str) -> float:
    """The share of the answer's words, at its beginning, that only repeat the question."""
    words = _WORDS.findall(text[:1000].lower())
    known = set(_WORDS.findall(prompt.lower()))
    return sum(word in known for word in words) / len(words) if words else 0.0


def _form(asked: Asked, answered: Answered) -> tuple[float, float]:
    """Whether JSON that was demanded is none, and how far it is from its schema."""
    if not (asked.json or asked.schema is not None) or answered.calls:
        return 0.0, 0.0
    try:
        value: object = msgspec.json.decode(answered.text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return 1.0, 1.0
    if asked.schema is None:
        return 0.0, 0.0
    return 0.0, min(1.0, faults(value, asked.schema) / 3)


def _tools(asked: Asked, answered: Answered) -> tuple[float, float]:
    """The share of tool calls that no tool could take, and whether one was demanded and is not there."""
    wrong = sum(_is_broken(name, arguments, asked.tools) for name, arguments in answered.calls)
    return wrong / len(answered.calls) if answered.calls else 0.0, float(asked.calls and not answered.calls)


def _is_broken(name: str, arguments: str, tools: dict[str, Any]) -> bool:
    if name not in tools:
        return True
    try:
        value: object = msgspec.json.decode(arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return True
    return faults(value, tools[name]) > 0


def _reckoned(prompt: str, text: str, lines: Sequence[str]) -> tuple[float, ...]:
    """What the answer reckons: equations, whether they hold, and what became of the question's numbers and of what it
    asks to be done with them."""
    sums, wanted = reckoned(text), called_for(prompt)
    held = sums.held
    given, used = numbers(prompt), numbers(text)
    stated = _stated(text)
    told = numbers(stated)
    result = told[-1] if told else None
    results = numbers(" ".join(_RESULT.findall(text)))
    known = set(used)
    unused = [value for value in given if value not in known]
    before = numbers("\n".join(lines[:-1]))
    return (
        math.log1p(len(held)),
        math.log1p(held.count(False)),
        float(bool(held) and not held[-1]),
        # An answer that shows no sums may have done them all the same.
        len(wanted - sums.operations) / len(wanted) if wanted and sums.operations else 0.0,
        float(any(form.search(text) for form in _CONCLUSIONS)),
        math.log1p(len(given)),
        len(unused) / len(given) if given else 0.0,
        float(result is not None and result in given),
        float(result is not None and not result.is_integer()),
        math.log1p(abs(result)) if result is not None else 0.0,
        float(result is not None and bool(before) and result not in before),
        float(result is not None and bool(results) and result != results[-1]),
        math.log1p(sum(word.isalpha() for word in _WORDS.findall(stated))),
        math.log1p(len(used)),
    )


def _likelihood(logprobs: Sequence[float]) -> tuple[float, float, float]:
    if not logprobs:
        return 0.0, 0.0, 0.0
    return 1.0, max(-20.0, sum(logprobs) / len(logprobs)), max(-20.0, min(logprobs))


def _agreement(text: str, others: Sequence[str]) -> tuple[float, float, float, float]:
    """Whether there are others, the share that concludes something else, whether all do, and the largest share, of
    several, that agrees on something else."""
    if not others:
        return 0.0, 0.0, 0.0, 0.0
    mine = conclusion(text)
    apart = [told for told in (conclusion(_ends(other)) for other in others) if told != mine]
    together = max((apart.count(told) for told in apart if told), default=0) if len(others) > 1 else 0
    return 1.0, len(apart) / len(others), float(len(apart) == len(others)), together / len(others)
