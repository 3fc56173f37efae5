"""What an answer shows of itself: form, sums, refusals, agreement; and a head that is learnt from judged answers."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.routing import answer_fit
from signalbox.routing.answer_rows import Row, worth
from signalbox.routing.answers import FEATURES, PRIOR, Answered, Asked, Head, conclusion, features
from signalbox.routing.arithmetic import reckoned
from signalbox.routing.operations import called_for
from signalbox.wire.answer_schema import faults

SCHEMA = {
    "type": "object",
    "required": ["city", "days"],
    "properties": {
        "city": {"type": "string", "minLength": 1},
        "days": {"type": "integer", "minimum": 1},
        "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
        "more": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/more"}]},
    },
    "additionalProperties": False,
    "$defs": {"more": {"type": "object", "required": ["x"]}},
}


def feature(name: str, asked: Asked, answered: Answered) -> float:
    return features(asked, answered)[FEATURES.index(name)]


@pytest.mark.parametrize(
    ("value", "good"),
    [
        ({"city": "Bonn", "days": 3}, True),
        ({"city": "Bonn", "days": 3.0}, True),
        ({"city": "Bonn", "days": 3, "tags": ["a"], "more": {"x": 1}}, True),
        ({"city": "Bonn", "days": 3, "more": None}, True),
        ({"city": "Bonn"}, False),
        ({"city": "", "days": 3}, False),
        ({"city": "Bonn", "days": True}, False),
        ({"city": "Bonn", "days": 0}, False),
        ({"city": "Bonn", "days": 3, "tags": ["c"]}, False),
        ({"city": "Bonn", "days": 3, "more": {}}, False),
        ({"city": "Bonn", "days": 3, "else": 1}, False),
        ([], False),
    ],
)
def test_an_answer_is_held_against_its_schema(value: Any, good: bool) -> None:
    assert (faults(value, SCHEMA) == 0) is good
    asked = Asked(json=True, schema=SCHEMA)
    assert (feature("schema_faults", asked, Answered(json.dumps(value))) == 0.0) is good


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema: dict[str, Any] = {"$ref": "#"}
    assert faults({"a": [1] * 1000}, schema) == 0
    schema = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert faults({"a": {"b": {"c": 1}}}, schema) == 1
    schema = {"anyOf": [{"allOf": [{"$ref": "#"}] * 8}] * 8}
    assert faults(1, schema) >= 0


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("He runs 3 x 60 = 180 meters.", [True]),
        ("He runs 3 x 60 = 190 meters.", [False]),
        ("That is 3 x 60 = <<3*60=180>>180.", [True]),
        ("It costs $3.20 - $2 = $1.20 each, and 5*4=21.", [True, False]),
        ("He bought 5. 3*60 = 180", [True]),
        ("2/3 of it, so 2/3 = 0.67 and 40% * 200 = 80", [True, True]),
        ("1,200 + 300 = 1,500", [True]),
        ("(2 + 3) * 4 = 20 and -(2) * 3 = -6", [True, True]),
        ("1 / 0 = 5", []),
        ("x = 5 and f(x) = 7, 12 = 12", []),
        ("= = = == (((((((((((((((((((1+1))))) = 2", []),
        # A sum may go on, by a sum that equals it or from its result.
        ("2 * (3 + 4) = 2 * 7 = 14", [True, True]),
        ("2*4 + 3*6 = 24 + 18 = 42", [False, True]),
        ("45 - 5 = 40 / 2 = 20", [True, True]),
        ("She needs 4 feet / 0.5 feet\n= 4 / 0.5\n= 8 pieces.", [True, True]),
        # What is counted does not matter, unless it is another measure.
        ("He runs 3 hours / 2 = 1.5 hours.", [True]),
        ("That is $20 (for the phone) + 4 (for the lines) * $10 = $60.", [True]),
        ("So 10 * 25 cents = $2.50 and 60 + 30 minutes = 1.5 hours", [True, True]),
        ("Thus 10 * 25 cents = $3.50, and 2/3 * 4,500 gallons = 6,000 gallons", [False, False]),
        ("1 hour = 60 minutes, and 1 hour + 30 minutes = 90", []),
        ("It is 40% of the 200 MB = 80 MB; 1/2 of 80 = 41", [True, False]),
        ("So 30 / 90 = 33.3% of them", [True]),
        ("5 times 3 = 15, 9 divided by 3 = 4", [True, False]),
        ("- 5 + 3 = 8\n* 3 + 4 = 7\nand -5 + 3 = -2", [True, True, True]),
        # Unknowns, powers and mixed numbers are none of its business.
        ("6s + 9 = 3 * (s + 9), 60 = 17 + 2r", []),
        ("2^3 + 1 = 9 and 2 1/2 + 3 = 5.5, n! + 1 = 3", []),
        ("if a >= 3 + 4 or b == 3 + 5:", []),
        (r"\[ 3 \times 60 = 180 \] and \frac{1}{2} \cdot 8 = 5", [True, False]),
        ("**3 + 4 = 7** and 200 / 100 \\* 40 = 80", [True, True]),
        # Said in words and in a note: once when they agree.
        ("(90 + 150) / 3 = $<<90+150=240;240/3=80>>80", [True, True]),
        ("3 + 4 = <<3+5=7>>7", [True, False]),
    ],
)
def test_sums_are_reckoned_again(text: str, held: list[bool]) -> None:
    assert reckoned(text).held == held


@given(st.integers(1, 999), st.integers(1, 999), st.sampled_from("+-*"), st.integers(-3, 3), st.text(max_size=20))
def test_a_sum_holds_when_it_does(one: int, other: int, sign: str, off: int, before: str) -> None:
    result = {"+": one + other, "-": one - other, "*": one * other}[sign]
    told = reckoned(f"{before}\nThen {one} {sign} {other} = {result + off} apples.")
    if abs(off) > max(0.011, abs(result + off) * 1e-3) and not before.rstrip().endswith("="):
        assert told.held[-1:] == [False]
    elif off == 0 and not before.rstrip().endswith("="):
        assert told.held[-1:] == [True]


@given(st.text(alphabet="0123456789 =+-*/()x%.,\n$<>fos{}\\of", max_size=300))
def test_any_text_can_be_reckoned(text: str) -> None:
    assert all(isinstance(one, bool) for one in reckoned(text).held)


def test_reckoning_a_long_text_ends() -> None:
    for piece in ("1+", "(", "1=", "1+1=2 ", "\n=", " ", "2 of ", "(a ", "<<1+1=2>>", "\\frac{", "1,000"):
        assert len(reckoned(piece * 20_000).held) <= 100


@pytest.mark.parametrize(
    ("question", "answer", "missing"),
    [
        ("She has 30 and eats 2. How many are left?", "30 / 2 = 15", 1.0),
        ("She has 30 and eats 2. How many are left?", "30 - 2 = 28", 0.0),
        ("90 roses and 40 fewer tulips, $2 each. What do they cost?", "90 + 130 = 220, 220 * 2 = 440", 0.5),
        ("Half of 60 are stamped. How many?", "0.5 * 60 = 30", 0.0),
        ("Half of 60 are stamped. How many?", "It is <<60/2=30>>30.", 0.0),
        ("Half of 60 are stamped. How many?", "It is thirty.", 0.0),
        ("Who was it?", "Nobody.", 0.0),
    ],
)
def test_what_the_question_asks_for_is_missed(question: str, answer: str, missing: float) -> None:
    assert feature("operations_missing", Asked(question), Answered(answer)) == missing
    assert called_for(question.upper()) == called_for(question)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("So it is 7.\n#### 1,200", "1200"),
        ("Thus \\boxed{42}.", "42"),
        ("The answer is (B).", "B"),
        ("(C) because of that", "C"),
        ("Long thoughts.\nParis", "paris"),
        ("", ""),
    ],
)
def test_what_an_answer_comes_to(text: str, told: str) -> None:
    assert conclusion(text) == told


def test_agreement_is_of_conclusions_and_not_of_words() -> None:
    same = Answered("We add them.\n#### 12", others=("The answer is 12.", "12"))
    other = Answered("We add them.\n#### 12", others=("The answer is 12.", "13"))
    assert feature("others_disagree", Asked("?"), same) == 0.0
    assert feature("others_disagree", Asked("?"), other) == 0.5
    assert feature("others_given", Asked("?"), Answered("12")) == 0.0


DOUBTFUL = [
    (Asked("Hi"), Answered("")),
    (Asked("Hi"), Answered("I'm sorry, but I can't help with that.")),
    (Asked("Hi"), Answered("Hello", refused=True)),
    (Asked("Write"), Answered("Once upon a", finish="length")),
    (Asked("Go", json=True), Answered("Sure! {")),
    (Asked("Go", json=True, schema=SCHEMA), Answered("{}")),
    (Asked("Go", tools={"f": {}}), Answered("", calls=(("g", "{}"),))),
    (Asked("Go", tools={"f": {"type": "object", "required": ["x"]}}), Answered("", calls=(("f", "{}"),))),
    (Asked("Go", tools={"f": {}}, calls=True), Answered("I would call f.")),
    (Asked("How many?"), Answered("3 * 4 = 13", others=())),
    (Asked("How many?"), Answered("12", others=("13", "14"))),
]


@pytest.mark.parametrize(("asked", "answered"), DOUBTFUL)
def test_without_a_fit_one_failed_check_is_doubt(asked: Asked, answered: Answered) -> None:
    assert PRIOR.trust(features(asked, answered)) < 0.5


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (Asked("Hi"), Answered("Hello, how can I help you?")),
        (Asked("How many?"), Answered("3 * 4 = 12", others=("12",))),
        (Asked("Go", json=True, schema=SCHEMA), Answered('{"city":"Bonn","days":2}')),
        (Asked("Go", tools={"f": {"required": ["x"]}}), Answered("", "tool_calls", calls=(("f", '{"x":1}'),))),
        (Asked("Hi"), Answered("Sure.", logprobs=(-0.1, -0.2))),
    ],
)
def test_without_a_fit_what_passes_every_check_is_trusted(asked: Asked, answered: Answered) -> None:
    assert PRIOR.trust(features(asked, answered)) > 0.8


@given(st.text(), st.text(), st.sampled_from(["stop", "length", "error"]), st.lists(st.text(), max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_text_has_finite_features(prompt: str, text: str, finish: str, others: list[str]) -> None:
    asked = Asked(prompt, json=True, schema=SCHEMA, tools={"f": SCHEMA})
    found = features(asked, Answered(text, finish, calls=(("f", text),), others=tuple(others)))
    assert len(found) == len(FEATURES)
    assert all(math.isfinite(value) for value in found)
    assert 0.0 <= PRIOR.trust(found) <= 1.0


def test_a_long_answer_costs_what_its_ends_cost() -> None:
    for text in ("1" * 2_000_000, "1 + " * 500_000 + "= 3", "=" * 1_000_000, "a.\n" * 500_000, "i cannot " * 200_000):
        found = features(Asked(text), Answered(text))
        assert all(math.isfinite(value) for value in found)


def test_a_head_is_learnt_from_judged_answers() -> None:
    asked = Asked("What is 6 times 7?")
    good = [Answered(f"6 * 7 = 42. Take {n}.\n#### 42") for n in range(40)]
    bad = [Answered(f"6 * 7 = 4{n % 2}, perhaps, I think. Take {n}.") for n in range(40)]
    rows = [features(asked, one) for one in (*good, *bad)]
    head = answer_fit.fit(rows, [True] * 40 + [False] * 40, ridge=1.0)
    assert head.fits()
    assert min(head.trust(row) for row in rows[:40]) > max(head.trust(row) for row in rows[40:])


def test_nothing_is_learnt_from_nothing() -> None:
    row = features(Asked("?"), Answered("!"))
    with pytest.raises(ValueError, match="at least"):
        answer_fit.fit([row] * 5, [True] * 5)
    with pytest.raises(ValueError, match="alike"):
        answer_fit.fit([row] * 50, [True] * 50)


def test_a_head_of_other_features_is_noticed() -> None:
    assert PRIOR.fits()
    assert not Head(("a",), (0.0,), (1.0,), (1.0,), 0.0).fits()
    assert not Head(FEATURES, PRIOR.mean, (0.0,) * len(FEATURES), PRIOR.weights, 0.0).fits()
    assert not Head(FEATURES, PRIOR.mean, PRIOR.scale, PRIOR.weights, math.nan).fits()


def test_lists_are_compared_as_wholes() -> None:
    assert conclusion("The answer is [(4, 1), (2, 3)].") != conclusion("The answer is [(9, 1), (2, 3)].")
    assert conclusion("The answer is [4, 1].") == conclusion("**Answer:** [4,1]")
    assert conclusion("Result: {4} apples") == conclusion("The answer is 4.")


@pytest.mark.parametrize(
    ("others", "found"),
    [
        ((), (0.0, 0.0, 0.0, 0.0)),
        (("The answer is 7.",), (1.0, 1.0, 1.0, 0.0)),
        (("The answer is 5.", "The answer is 7."), (1.0, 0.5, 0.0, 0.5)),
        (("The answer is 7.", "The answer is 7."), (1.0, 1.0, 1.0, 1.0)),
        (("The answer is 7.", "The answer is 8."), (1.0, 1.0, 1.0, 0.5)),
    ],
)
def test_others_who_agree_with_each_other_count_more(others: tuple[str, ...], found: tuple[float, ...]) -> None:
    told = features(Asked("How many?"), Answered("The answer is 5.", others=others))
    assert told[-4:] == pytest.approx(found)


def test_what_is_learnt_is_what_the_strong_model_would_gain() -> None:
    rows = [Row("q", "a", good=good, strong_good=strong) for good in (False, True) for strong in (False, True)]
    assert worth(rows) == [0.5, 0.0, 1.0, 0.5]
    assert worth([row for row in rows if row.strong_good]) == [0.0, 1.0]
