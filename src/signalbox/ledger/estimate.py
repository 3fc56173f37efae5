"""How many tokens something probably is, learnt for one deployment from what its provider counted.

Used where the provider's own figure is missing: bounds written before an attempt, progress of open streams, the end of
an attempt that was cut, and recovery. Every figure leans to the high side. Pure arithmetic, a few microseconds a call.
"""

from __future__ import annotations

from math import ceil

from signalbox.core.usage import Usage

# Before anything was observed: above what tokenizers give for English, code and CJK text in UTF-8 JSON bodies.
TOKENS_PER_BODY_BYTE = 0.5
TOKENS_PER_OUTPUT_CHAR = 1.0
TOKENS_PER_S = 200.0
# Where one answer has told a pace, others may be faster by so much of it; where several have, by their share of that.
_FASTER = 2.0
# Output of a call that stated no limit.
OUT_DEFAULT = 4096

# An answer must be this long to tell how fast its deployment is.
_RATE_TOKENS_MIN = 16
# Whoever was late saw the first token late, and the rest of a short answer in one go: one must have taken this many
# times as long as its reader was late to tell how fast it was, unless nothing else has.
_LATE_TIMES = 10
_SAMPLES_MIN = 8
_EVERY_ONE = 64
_ONE_IN = 8
_RATES_MIN = 6
# The last this many observations count, older ones ever less.
_MEMORY = 200
# Kinds of text of one deployment; there are about a hundred in all.
_KINDS_MAX = 128
# Rounding, which would look like a great relative error in a short prompt.
_ROUNDING_TOKENS = 2


class Line:
    """What a provider counted for bodies of one kind of text: a line over their size, because what surrounds a prompt
    in JSON costs bytes and few tokens, with the largest recent error on top, as tokens a byte or as tokens in a body of
    mean size, whichever is less."""

    __slots__ = (
        "_bytes_max",
        "_bytes_min",
        "_error",
        "_intercept",
        "_over",
        "_slope",
        "_sum_x",
        "_sum_xx",
        "_sum_xy",
        "_sum_y",
        "_weight",
        "samples",
    )

    def __init__(self) -> None:
        self.samples = 0
        self._weight = self._sum_x = self._sum_y = self._sum_xx = self._sum_xy = 0.0
        self._slope, self._intercept, self._error = TOKENS_PER_BODY_BYTE, 0.0, 0.0
        self._over = 0.0
        self._bytes_min = self._bytes_max = 0

    def observe(self, body_bytes: int, tokens_in: int) -> None:
        keep = 1 - 1 / _MEMORY
        self._weight = self._weight * keep + 1
        self._sum_x = self._sum_x * keep + body_bytes
        self._sum_y = self._sum_y * keep + tokens_in
        self._sum_xx = self._sum_xx * keep + body_bytes * body_bytes
        self._sum_xy = self._sum_xy * keep + body_bytes * tokens_in
        self._fit()
        over = tokens_in - _ROUNDING_TOKENS - (self._slope * body_bytes + self._intercept)
        self._error = max(over / body_bytes, self._error * 0.999)
        self._over = max(over, self._over * 0.999)
        self.samples += 1
        self._bytes_max = max(self._bytes_max, body_bytes)
        self._bytes_min = min(self._bytes_min or body_bytes, body_bytes)

    def _fit(self) -> None:
        """Least squares; bodies of one size only, or a line that falls, give a plain ratio."""
        mean_x, mean_y = self._sum_x / self._weight, self._sum_y / self._weight
        spread = self._sum_xx / self._weight - mean_x * mean_x
        if spread > 1e-4 * mean_x * mean_x:
            slope = (self._sum_xy / self._weight - mean_x * mean_y) / spread
            if slope > 0:
                self._slope, self._intercept = slope, mean_y - slope * mean_x
                return
        self._slope, self._intercept = mean_y / mean_x, 0.0

    def knows(self, body_bytes: int) -> bool:
        """Whether bodies of about this size were counted, and often enough."""
        return self.samples >= _SAMPLES_MIN and body_bytes <= 2 * self._bytes_max and 2 * body_bytes >= self._bytes_min

    def tokens(self, body_bytes: int) -> int:
        # What surrounds a prompt differs by a few tokens however long it is: in long bodies that is a small error.
        scale = body_bytes * self._weight / self._sum_x
        over = self._over * scale if scale > 1.0 else self._over
        share = self._error * body_bytes
        tokens = self._slope * body_bytes + self._intercept + (share if share < over else over)
        return ceil(tokens if tokens > 1.0 else 1.0) + _ROUNDING_TOKENS


class Calibration:
    """Decaying upper bounds of the ratios of one deployment and API.

    Input is a line for each kind of text that was seen. Output is bounded by its characters and by its events,
    whichever says less; hidden reasoning, which shows in neither, comes on top as far as the time allows.
    """

    __slots__ = (
        "_hidden",
        "_lines",
        "_per_char",
        "_per_event",
        "_per_s",
        "_rates",
        "_round_trip_s",
        "_samples",
        "_turn",
        "_wait_s",
    )

    def __init__(self) -> None:
        self._samples = self._turn = 0
        self._lines: dict[int, Line] = {}
        self._per_char = TOKENS_PER_OUTPUT_CHAR
        self._per_event = 0.0
        self._per_s = 0.0
        self._wait_s = 0.0
        self._rates = 0
        self._hidden = 0.0
        self._round_trip_s = 0.0

    # --- learning ---

    def wants_more(self) -> bool:
        """Whether to learn from this attempt: from each of the first ones, then from one in a few, since learning
        costs as much as everything else that settles an attempt."""
        self._turn += 1
        return self._turn <= _EVERY_ONE or self._turn % _ONE_IN == 0

    def observe_in(self, body_bytes: int, tokens_in: int, kind: int = 0) -> None:
        """What the provider counted for a body of this size. kind: of its text; what is learnt of one says nothing of
        another."""
        if body_bytes <= 0 or tokens_in <= 0:
            return
        line = self._lines.get(kind)
        if line is None:
            if len(self._lines) >= _KINDS_MAX:
                self._lines.clear()
            line = self._lines[kind] = Line()
        line.observe(body_bytes, tokens_in)
        self._samples += 1

    def observe_out(self, chars: int, events: int, usage: Usage) -> None:
        """A whole answer: what was seen of it and what the provider counted. events: 0 for one that did not stream."""
        shown, hidden = usage.tokens_out, usage.reasoning
        if hidden and events >= 0.9 * (shown + hidden):
            # About an event a token, reasoning included: nothing was hidden.
            shown, hidden = shown + hidden, 0
        elif hidden and not events:
            return
        self.observe_hidden(hidden)
        if chars and shown:
            first = self._per_char == TOKENS_PER_OUTPUT_CHAR
            self._per_char = _upper(self._per_char, shown / chars, first)
        if events and shown:
            self._per_event = _upper(self._per_event, shown / events, self._per_event == 0.0)

    def observe_hidden(self, tokens: int) -> None:
        """Reasoning that was counted and not shown."""
        self._hidden = max(float(tokens), self._hidden * 0.98)

    def observe_rate(self, tokens: int, seconds: float, wait_s: float, late_s: float) -> None:
        """How long the deployment took for so many tokens. wait_s: until the first one; 0 where the first was not seen,
        and then seconds is the whole time. late_s: how late whoever read them came to his work of late."""
        hurried = seconds < _LATE_TIMES * late_s
        if tokens < _RATE_TOKENS_MIN or seconds <= 0 or (hurried and self.paced):
            return
        if wait_s:
            known = self._wait_s
            self._wait_s = wait_s * 0.9 if not known else min(wait_s, known + (wait_s - known) * 0.02)
            tokens -= 1  # the time runs from the first one
            if hurried:
                seconds += min(max(0.0, wait_s - self._wait_s), late_s)
        # No margin on the first: nothing is told before there were several.
        self._per_s = max(tokens / seconds, self._per_s + (tokens / seconds - self._per_s) * 0.005)
        self._rates += 1

    def observe_connect(self, connect_us: int) -> None:
        """How long a connection took to be made; 0 for one that was there. It takes a round trip at least."""
        if connect_us:
            took_s, known = connect_us / 1e6, self._round_trip_s
            self._round_trip_s = min(took_s, known + (took_s - known) * 0.02) if known else took_s

    # --- telling ---

    @property
    def round_trip_s(self) -> float:
        """There and back, twice what the quickest connection took of late; 0 where none was timed."""
        return 2 * self._round_trip_s

    def tokens_known(self, body_bytes: int, kind: int) -> int:
        """As `tokens_in` tells where that `knows`; else 0."""
        line = self._lines.get(kind)
        return line.tokens(body_bytes) if line is not None and line.knows(body_bytes) else 0

    def tokens_in(self, body_bytes: int, kind: int = 0) -> int:
        line = self._lines.get(kind)
        if line is None or not line.knows(body_bytes):
            return ceil(body_bytes * TOKENS_PER_BODY_BYTE)
        return line.tokens(body_bytes)

    def tokens_out(self, chars: int, events: int) -> int:
        """What was shown. events: content events seen, each at least one token with every known provider."""
        by_chars = ceil(chars * self._per_char)
        if self._per_event:
            by_chars = min(by_chars, ceil(events * self._per_event))
        return max(events, by_chars)

    def chars_within(self, tokens: int) -> int:
        """How many characters are no more than so many tokens, however they come."""
        return int(tokens / max(1.0, self._per_char))

    def tokens_hidden(self, elapsed_s: float) -> int:
        """Reasoning that may have gone before what was shown."""
        return min(ceil(self._hidden), self.tokens_by(elapsed_s)) if self._hidden else 0

    def tokens_by(self, elapsed_s: float) -> int:
        """What can have been generated since a call began, at the deployment's pace behind its shortest wait; a model
        that reasons in hiding does so while one waits."""
        wait_s = self._wait_s if self.paced and self._hidden < 1 else 0.0
        return ceil(max(0.0, elapsed_s - wait_s) * self.tokens_per_s) + 1

    def tokens_in_flight(self, seconds: float) -> int:
        """What a running answer can have gained in a time."""
        return ceil(seconds * self.tokens_per_s) + 1

    @property
    def tokens_per_s(self) -> float:
        """Its pace: the fastest of late, with a margin until enough answers have told."""
        if self.paced:
            return self._per_s
        return self._per_s * (1 + _FASTER / self._rates) if self._rates else TOKENS_PER_S

    @property
    def may_hide(self) -> bool:
        """Whether it was seen to reason in hiding, or nobody knows it well enough to say that it does not."""
        return self._hidden >= 1 or self._samples < _SAMPLES_MIN

    @property
    def paced(self) -> bool:
        """Whether its pace is known."""
        return self._rates >= _RATES_MIN


class Metering:
    """One calibration a deployment and API, whose bodies say as much in other words; by name, so that it outlives a
    reload, and bounded by the configuration's size."""

    NAMES_MAX = 10_000

    def __init__(self) -> None:
        self._by_name: dict[tuple[str, str], Calibration] = {}

    def of(self, deployment: str, api: str) -> Calibration:
        name = (deployment, api)
        found = self._by_name.get(name)
        if found is None:
            if len(self._by_name) >= self.NAMES_MAX:
                self._by_name.clear()
            found = self._by_name[name] = Calibration()
        return found


def _upper(bound: float, sample: float, first: bool) -> float:
    """Quick to rise, slow to fall; the first sample, with a margin, replaces what was only assumed."""
    return sample * 1.05 if first else max(sample, bound + (sample - bound) * 0.02)
