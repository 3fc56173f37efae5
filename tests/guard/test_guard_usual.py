"""What is usual for a workload's answers is learnt, and what is not is on record."""

from __future__ import annotations

from tests.guard.streams import called
from tests.guard.test_guard_seams import snapshot_of

from signalbox.core.guards import Channel, Guarded
from signalbox.guard.room import GuardRoom
from signalbox.guard.screen import Screen
from signalbox.guard.usual import ANSWERS_MIN, CALLS_MIN, TOOLS_MAX, Usual


def test_long_answers_and_new_tools_are_flagged_once_others_are_usual() -> None:
    snapshot = snapshot_of("signals")
    room = GuardRoom(snapshot)

    def said(text: str, tool: str, *, stream: bool) -> dict[str, int]:
        record = Guarded()
        screen = Screen(room.of("g"), called(snapshot, "g", "chat"), record)
        if stream:
            for at in range(0, len(text), 500):
                screen.feed(Channel("text"), text[at : at + 500])
            screen.end(Channel("text"))
        else:
            screen.whole(Channel("text"), text)
        screen.whole(Channel("call"), tool)
        screen.over()
        return record.counts

    for at in range(max(ANSWERS_MIN, CALLS_MIN)):
        assert said("a word " * (20 + at % 30), "search", stream=bool(at % 2)) == {}
    for stream, tool in ((False, "send_money"), (True, "delete_all")):
        found = said("a word " * 5000, tool, stream=stream)
        assert found == {"signals.long:flag@text": 1, "signals.new-tool:flag@call": 1}
    assert said("a word " * 40, "send_money", stream=False) == {}


def test_what_is_remembered_of_tools_is_bounded() -> None:
    usual = Usual()
    for at in range(3 * TOOLS_MAX):
        usual.is_new_tool(f"tool-{at}")
    assert usual.is_new_tool("tool-0"), "the oldest were forgotten"
    assert not usual.is_new_tool(f"tool-{3 * TOOLS_MAX - 1}")
