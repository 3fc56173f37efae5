"""Whole answers as guards let them through."""

from __future__ import annotations

from typing import Any

from signalbox.guard.screen import Screen
from signalbox.wire import visible, withheld


def let_through(screen: Screen, api: str, doc: dict[str, Any]) -> bool:
    """Lets every text of a document through the guards; whether that changed anything. api: empty for an error."""
    withheld_choices: set[int] = set()
    changed, last, cut = False, 0, False
    for slot in visible.answer(doc):
        if cut and (slot.channel.choice in withheld_choices or api not in ("chat", "completions")):
            slot.holder[slot.key] = ""
            continue
        text = slot.text
        out = screen.whole(slot.channel, text)
        if out is not text and out != text:
            slot.holder[slot.key] = out
            changed = True
        if screen.cut:
            cut = changed = True
            screen.cut = False
            withheld_choices.add(slot.channel.choice)
            last = slot.channel.part
    if cut and api:
        withheld.withhold(api, doc, withheld_choices, last)
        screen.cut = True
    return changed
