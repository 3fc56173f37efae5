"""Guard `no-personal-data`: personal data in answers that the request did not hold."""

from __future__ import annotations

import re

from signalbox.config.schema_guards import NoPersonalData
from signalbox.core.call import Call
from signalbox.core.guards import Channel, GuardUse
from signalbox.detectors import bank, cards, email_addresses, ip_addresses, national_ids, persons, phones
from signalbox.guard.contract import Guard, Means
from signalbox.guard.input_text import InputText
from signalbox.guard.spans import Spans
from signalbox.guard.window import ACTION_OF, TextWindow

NAME = "no-personal-data"
HOLD_CHARS_MAX = 160

_DETECTORS = (
    cards.DETECTOR,
    bank.DETECTOR,
    national_ids.DETECTOR,
    email_addresses.DETECTOR,
    ip_addresses.DETECTOR,
    phones.DETECTOR,
    persons.DETECTOR,
)
_GATE = re.compile(r"[0-9@]|[^\W\d_a-z]")
_OPENS = (
    # The last word, with names before it.
    re.compile(r"(?:[^\W\d_a-z][\w'’.-]{0,24}[ \t]){0,3}\S{0,96}\Z"),
    # Numbers in groups, and what stands before the digits of some.
    re.compile(r"(?<![\w])(?:[A-Z]{1,3}[ -]?)?[+(]{0,2}\d(?:[\d A-Z().,:/-]{0,63})\Z"),
)


class _Watch:
    hold_chars_max = HOLD_CHARS_MAX

    def __init__(self, finder: Spans, action: str) -> None:
        self._finder = finder
        self._action = action

    def window(self, channel: Channel) -> TextWindow:
        return TextWindow(NAME, self._finder, self._action, channel)

    def over(self) -> None:
        return None


class _Filter:
    def __init__(self, action: str) -> None:
        self._spans = Spans(_DETECTORS, _GATE, _OPENS, HOLD_CHARS_MAX)
        self._action = action

    def watch(self, call: Call) -> _Watch:
        return _Watch(self._spans.allowing(InputText(call.doc).holds), self._action)


def make(use: GuardUse, means: Means) -> Guard:
    options = use.options
    assert isinstance(options, NoPersonalData)
    return Guard(use, answer=_Filter(ACTION_OF[options.action]))
