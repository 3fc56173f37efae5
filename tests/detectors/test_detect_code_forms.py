"""Programs that are told by what only they write, and secrets that stand further on in a list."""

from __future__ import annotations

import pytest

from signalbox.detectors.found import RAISES
from signalbox.detectors.scan import EVERYTHING, classify, scan

DESCRIBED = 'def area(side):\n    """The area of a square, for those who have forgotten it."""\n    return side**2'
SHELL = 'name=$(basename "$1")\nif [ -f "$name" ]; then\n  exit 0\nfi\nupdate-menus\n'
SCRIPT = "#!/bin/sh\ncat <<EOF\nThis text says what the program does.\nEOF\n"
SQL = "-- opclasses\nCREATE OPERATOR CLASS char_ops\nDEFAULT FOR TYPE char USING gin\n"


@pytest.mark.parametrize("text", [DESCRIBED, f"Please complete this:\n\n{DESCRIBED}", SHELL, SCRIPT, SQL])
def test_forms_of_programs_are_source_code(text: str) -> None:
    assert "source-code" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "We create tables by hand and update them.\nThey insert a leaf, then drop a hint.\nComment on it, please.",
        'The price is $5 and the class of the ticket is second.\nShe said "$20 is enough".\nIt is done.\nfi fa fo\n',
        "Define: a def is short for definition.\nA class is a group of pupils.\nEach has a room.\n",
        'The formula $(a+b)$ has two terms.\nThe formula $(a-b)$ has two as well.\nSo has "$(c)".\n',
    ],
)
def test_prose_with_their_words_is_not(text: str) -> None:
    assert "source-code" not in classify(text).names()


def test_all_values_of_a_list_are_found() -> None:
    values = ("7b43aae593ead3c06f", "8bb309c15a9ce2ce4d", "038f7f0c0e1d754b19")
    text = f'{{"owner": 7, "access_tokens": ["{values[0]}", "{values[1]}", "{values[2]}"], "state": "online"}}'
    found = {text[one.start : one.end] for one in scan(text) if one.tag == "credentials" and one.confidence >= RAISES}
    assert found == set(values)


def test_a_phrase_wakes_its_detector_only_when_its_words_are_there() -> None:
    def woken(text: str) -> bool:
        return "markings" in [detector.name for detector in EVERYTHING.gate(text)[1]]

    assert not woken("the next release is planned for the spring of this year")
    assert woken("this is not for public release before the spring of this year")
    assert "confidential" in classify("this is not for public release before the spring of this year").names()
