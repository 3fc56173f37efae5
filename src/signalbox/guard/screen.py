"""One answer on its way through all guards of its workload, channel by channel."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from signalbox.core.call import Call
from signalbox.core.errors import GuardFailed
from signalbox.core.guards import CUT, FLAG, SKIPPED, Channel, Guarded, Verdict
from signalbox.guard.contract import Guard, Watch, Window
from signalbox.guard.json_text import JsonText
from signalbox.guard.room import GuardSet

# What an answer may have open at once; more is an attack on our memory, and ends it.
CHANNELS_MAX = 4096
_NO_GUARD_SAYS = "a guard said what no guard says"


class _Open:
    """One channel under way: its windows, in order."""

    __slots__ = ("json", "windows")

    def __init__(self, json: JsonText | None, windows: list[tuple[Guard, Window]]) -> None:
        self.json = json
        self.windows = windows


class Screen:
    """After a cut (`cut` is true) nothing more of the answer may be shown. Raises GuardFailed when a guard that is
    declared to fail closed does."""

    __slots__ = ("_call", "_open", "_record", "_told", "_watches", "cut")

    def __init__(self, guards: GuardSet, call: Call, record: Guarded) -> None:
        self._call = call
        self._record = record
        self._open: dict[Channel, _Open] = {}
        # Channels whose deltas were looked at, so that the same text told whole afterwards is not counted again.
        self._told: set[Channel] = set()
        self._watches: list[tuple[Guard, Watch]] = []
        self.cut = False
        for guard, answers in guards.answers:
            try:
                watch = answers.watch(call)
            except Exception as error:
                self._failed(guard, error)
            else:
                if watch is not None:
                    self._watches.append((guard, watch))

    @property
    def idle(self) -> bool:
        """No guard wants to see this answer."""
        return not self._watches

    def feed(self, channel: Channel, text: str) -> str:
        """What of a channel may be shown now."""
        state = self._open.get(channel)
        if state is None:
            if len(self._told) >= CHANNELS_MAX:
                raise GuardFailed("The answer has more parts than guards can look at.")
            self._told.add(channel)
            state = self._open[channel] = self._begin(channel)
        if state.json is not None:
            text = state.json.feed(text)
        return self._pass(state.windows, 0, text, channel.kind, self._record) if text else ""

    def end(self, channel: Channel) -> str:
        """What was held back of a channel that is over."""
        state = self._open.pop(channel, None)
        return self._finish(state, channel, self._record) if state is not None else ""

    def open(self) -> list[Channel]:
        return list(self._open)

    def whole(self, channel: Channel, text: str) -> str:
        """A text that is told at once."""
        record = self._record if not self._told or channel not in self._told else Guarded()
        if channel.kind == "tool" and "\\" in text:
            json = JsonText()
            text = json.feed(text) + json.end()
        for guard, watch in self._watches:
            if channel.kind == "echo" and text == self._call.doc.get("instructions"):
                return text  # the protocol's, not the model's: the caller's own words, once they are restored
            before = text
            try:
                if watch.passes(channel, text):
                    continue
                window = watch.window(channel)
                if window is None:
                    continue
                text, verdicts = _all_of(_timed(guard, window), text)
            except Exception as error:
                self._failed(guard, error, channel.kind)
                text, verdicts = before, ()
            if verdicts:
                record.note(verdicts)
                if verdicts[-1].action == CUT:
                    self.cut = True
                    return text
        return text

    def over(self) -> None:
        """The answer is over, nothing is open any more. Of one that was cut, nothing can be said on the whole."""
        if self.cut:
            return
        for guard, watch in self._watches:
            try:
                verdict = watch.over()
                if verdict is not None:
                    self._record.note([verdict])
            except Exception as error:
                self._failed(guard, error)

    def _begin(self, channel: Channel) -> _Open:
        windows: list[tuple[Guard, Window]] = []
        for guard, watch in list(self._watches):
            try:
                window = watch.window(channel)
            except Exception as error:
                self._failed(guard, error)
                self._watches.remove((guard, watch))
            else:
                if window is not None:
                    windows.append((guard, _timed(guard, window)))
        return _Open(JsonText() if channel.kind == "tool" else None, windows)

    def _pass(self, windows: list[tuple[Guard, Window]], at: int, text: str, where: str, record: Guarded) -> str:
        """Text through the windows from `at` on."""
        while at < len(windows):
            if not text:
                return ""
            guard, window = windows[at]
            before, held = text, window.held
            try:
                text, verdict = window.feed(text)
                if text.__class__ is not str or (verdict is not None and verdict.__class__ is not Verdict):
                    raise TypeError(_NO_GUARD_SAYS)
            except Exception as error:
                self._failed(guard, error, where)
                del windows[at]
                text = held + before
                continue
            if verdict is not None:
                record.note([verdict])
                if verdict.action == CUT:
                    self.cut = True
                    return text
            at += 1
        return text

    def _finish(self, state: _Open, channel: Channel, record: Guarded) -> str:
        rest = state.json.end() if state.json is not None else ""
        out = self._pass(state.windows, 0, rest, channel.kind, record) if rest else ""
        windows = state.windows
        while windows and not self.cut:
            guard, window = windows[0]
            held = window.held
            try:
                text, verdict = window.end()
                if text.__class__ is not str or (verdict is not None and verdict.__class__ is not Verdict):
                    raise TypeError(_NO_GUARD_SAYS)
            except Exception as error:
                self._failed(guard, error, channel.kind)
                text, verdict = held, None
            del windows[0]
            if verdict is not None:
                record.note([verdict])
                if verdict.action == CUT:
                    # What the guards behind hold back, they may not see the end of: only this may still be shown.
                    out += self._pass(windows, 0, text, channel.kind, record) if text else ""
                    self.cut = True
                    return out
            out += self._pass(windows, 0, text, channel.kind, record) if text else ""
        return out

    def _failed(self, guard: Guard, error: Exception, where: str = "answer") -> None:
        """A guard that fails open is on record as skipped; one that fails closed ends the answer."""
        if isinstance(error, GuardFailed):
            raise error
        action = SKIPPED if guard.use.fail_open else FLAG
        rule = "timeout" if isinstance(error, TimeoutError) else "failed"
        self._record.note([Verdict(guard.use.name, rule, action, where)])
        if not guard.use.fail_open:
            raise GuardFailed(f"Guard {guard.use.name} could not look at the answer.") from error


class _Timed:
    """Implements Window over one whose guard may take only so long for a piece of text."""

    __slots__ = ("_inner", "_within_s")

    def __init__(self, inner: Window, within_s: float) -> None:
        self._inner = inner
        self._within_s = within_s

    @property
    def held(self) -> str:
        return self._inner.held

    def feed(self, text: str) -> tuple[str, Verdict | None]:
        began_s = perf_counter()
        told = self._inner.feed(text)
        return self._in_time(told, began_s)

    def end(self) -> tuple[str, Verdict | None]:
        began_s = perf_counter()
        told = self._inner.end()
        return self._in_time(told, began_s)

    def _in_time(self, told: tuple[str, Verdict | None], began_s: float) -> tuple[str, Verdict | None]:
        if perf_counter() - began_s > self._within_s:
            raise TimeoutError
        return told


def _timed(guard: Guard, window: Window) -> Window:
    return _Timed(window, guard.use.timeout_s) if guard.use.timeout_s else window


def _all_of(window: Window, text: str) -> tuple[str, Sequence[Verdict]]:
    """What a window lets through of a text of which nothing follows."""
    out, first = window.feed(text) if text else ("", None)
    if first is not None and first.action == CUT:
        return out, (first,)
    rest, last = window.end()
    said = [one for one in (first, last) if one is not None]
    if (out + rest).__class__ is not str or any(one.__class__ is not Verdict for one in said):
        raise TypeError(_NO_GUARD_SAYS)
    return out + rest, said
