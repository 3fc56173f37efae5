"""How well one replica does, as this process sees it: whether it is used, rests, is out of use or being tried.

Learnt from calls themselves. Nothing here waits, does I/O or reads a clock: times are nanoseconds of one monotonic
clock, given by the caller, and chance is a function given at the start.
"""

from __future__ import annotations

from hashlib import blake2b

from signalbox.core.snapshot import Health, Origin
from signalbox.routing.pace import Pace
from signalbox.routing.prefixes import Held

SECOND_NS = 1_000_000_000
# Whoever tries a replica that was out of use decides about it within this time, or another one may.
TRIAL_NS = 60 * SECOND_NS
# A replica that rests after one failure is used again after so long, twice that after two in a row, and so on.
REST_NS = SECOND_NS
# Calls before anything is said about what is usual for it.
USUAL_CALLS_MIN = 10
# How long one that is much worse than the others is not used, at first.
EJECTED_NS = 10 * SECOND_NS
# Time between tokens is learnt from one stream in so many.
GAP_EVERY = 4
# Adaptive concurrency: where it begins, how far it falls, how often, and what counts as slow.
LIMIT_START = 16.0
LIMIT_MIN = 1.0
LIMIT_MAX = 4096.0
LIMIT_FALLS_TO = 0.8
LIMIT_FALLS_EVERY_NS = SECOND_NS
LIMIT_SLOW = 2.0


class Replica:
    """One address of one deployment. failures: in a row, by different bodies. troubled: it rests, is out of use or was
    ejected, so that a look at the times is needed. in_flight: attempts under way. culprit: the last body it failed on.
    slow_to_fail: its last failure cost the caller seconds, so that a probe goes before the next caller. waiting: calls
    that wait in its engine, as that tells."""

    __slots__ = (
        "_settings",
        "culprit",
        "ejected_ns",
        "ejections",
        "failed_calls",
        "failures",
        "first_token",
        "gap",
        "good_calls",
        "held",
        "in_flight",
        "limit",
        "lowered_ns",
        "open_ns",
        "opens",
        "origin",
        "rest_ns",
        "salt",
        "slow_to_fail",
        "trial_ns",
        "troubled",
        "waiting",
        "whole",
    )

    def __init__(self, origin: Origin, settings: Health) -> None:
        self.origin = origin
        # The same in every process, so that all of them keep a conversation on the same replica.
        self.salt = int.from_bytes(blake2b(origin.name.encode(), digest_size=8).digest(), "big")
        self._settings = settings
        self.in_flight = 0
        self.failures = self.opens = self.ejections = 0
        self.rest_ns = self.open_ns = self.trial_ns = self.ejected_ns = self.lowered_ns = 0
        self.troubled = self.slow_to_fail = False
        self.culprit: bytes | None = None
        self.waiting = 0.0
        self.held = Held()
        self.good_calls = self.failed_calls = 0.0
        self.first_token = Pace()
        self.gap = Pace()
        self.whole = Pace()
        self.limit = LIMIT_START if settings.adaptive_concurrency else 0.0

    def adopt(self, settings: Health) -> None:
        """A new configuration came into force: what was learnt stays."""
        self._settings = settings
        if not settings.enabled:
            self._well()
        if bool(self.limit) != settings.adaptive_concurrency:
            self.limit = LIMIT_START if settings.adaptive_concurrency else 0.0

    # --- may it be used ---

    @property
    def answers(self) -> int:
        """How many it gave; begins anew after an ejection."""
        return self.first_token.samples + self.whole.samples

    @property
    def open(self) -> bool:
        """Out of use after failures in a row, until a trial goes well."""
        return self.open_ns > 0

    def usable(self, now_ns: int, *, resting: bool) -> bool:
        """Whether a call may go there now. resting: even to one that was asked to be left alone for a moment."""
        if self.limit and self.in_flight >= self.limit:
            return False
        if not self.troubled:
            return True
        if self.open_ns:
            tried_ns = self.open_ns + TRIAL_NS if self.slow_to_fail else self.open_ns
            return now_ns >= tried_ns and now_ns >= self.trial_ns
        if self.ejected_ns > now_ns:
            return False
        return resting or now_ns >= self.rest_ns

    def usable_at(self) -> int:
        """When it may be used again, as far as is known."""
        return max(self.open_ns, self.trial_ns if self.open_ns else 0, self.ejected_ns, self.rest_ns)

    # --- one attempt ---

    def begin(self, now_ns: int) -> None:
        self.in_flight += 1
        if self.open_ns:
            self.trial_ns = now_ns + TRIAL_NS

    def end(self) -> None:
        """However it ended. A trial nobody learnt anything from (its client left) leaves room for the next one."""
        self.in_flight -= 1
        self.trial_ns = 0

    def succeeded(self, now_ns: int, first_ns: int, whole_ns: int, pieces: int) -> None:
        """first_ns: until the first content, 0 when it did not stream. whole_ns: the whole attempt. pieces: events
        with content."""
        self.good_calls += 1.0
        if first_ns:
            first_token = self.first_token
            first_token.observe(first_ns)
            if pieces > 1 and not first_token.samples % GAP_EVERY:
                self.gap.observe((whole_ns - first_ns) // (pieces - 1))
        else:
            self.whole.observe(whole_ns)
        if self.failures or self.troubled:
            self._well()
        if self.limit:
            self._adapt(now_ns, first_ns or whole_ns, self.first_token if first_ns else self.whole)

    def failed(
        self,
        now_ns: int,
        chance: float,
        *,
        wait_ns: int = 0,
        overloaded: bool = False,
        slow: bool = False,
        culprit: bytes | None = None,
    ) -> None:
        """wait_ns: how long it asked to be left alone. overloaded: it said so. slow: it took the caller's time to fail.
        culprit: a digest of the body it failed on, where the body may be to blame: the same one again says nothing new.
        """
        settings = self._settings
        if not settings.enabled:
            return
        if overloaded and self.limit:
            self._lower(now_ns)
        if culprit is not None and culprit == self.culprit and not self.open_ns:
            return
        self.culprit = culprit
        self.failed_calls += 1.0
        self.failures += 1
        if self.failures >= 2 or overloaded:
            shift = min(self.failures - 1 if overloaded else self.failures - 2, 10)
            rest_ns = min(REST_NS << shift, round(settings.open_s_max * SECOND_NS))
            self.rest(now_ns + max(wait_ns, round(rest_ns * (0.75 + 0.5 * chance))))
        if settings.failures and (self.failures >= settings.failures or self.open_ns):
            self._open(now_ns, wait_ns, chance)
            self.slow_to_fail = slow and settings.probe != "off"

    def rest(self, until_ns: int) -> None:
        """Others are used until then, where there are any."""
        self.rest_ns = max(self.rest_ns, until_ns)
        self.troubled = True

    def probed(self, now_ns: int, *, alive: bool) -> None:
        """What a probe found, which carries nothing of any call: one that answers may be tried by the next call."""
        if alive:
            self.slow_to_fail = False
            self.open_ns = min(self.open_ns, now_ns)

    def eject(self, now_ns: int) -> None:
        """Much worse than the others: not used for a while, longer each time."""
        self.ejections = min(self.ejections + 1, 6)
        self.ejected_ns = now_ns + EJECTED_NS * self.ejections
        self.troubled = True

    def _open(self, now_ns: int, wait_ns: int, chance: float) -> None:
        settings = self._settings
        for_s = min(settings.open_s * (1 << min(self.opens, 16)), settings.open_s_max)
        self.opens += 1
        self.open_ns = now_ns + max(wait_ns, round(for_s * SECOND_NS * (0.8 + 0.4 * chance)))
        self.trial_ns = 0
        self.troubled = True

    def _well(self) -> None:
        self.failures = self.opens = 0
        self.rest_ns = self.open_ns = self.trial_ns = 0
        self.slow_to_fail = False
        self.culprit = None
        self.troubled = self.ejected_ns > 0

    def forget(self, now_ns: int) -> None:
        """Once a second: old calls count less, an ejection that is over is over."""
        self.good_calls *= 0.95
        self.failed_calls *= 0.95
        if self.ejected_ns and self.ejected_ns <= now_ns:
            self.ejected_ns = 0
            self.good_calls = self.failed_calls = 0.0
            self.first_token.samples = 0
            self.troubled = self.open_ns > 0 or self.rest_ns > now_ns

    # --- adaptive concurrency: up by one a round while it is fast, down at once when it is not ---

    def _adapt(self, now_ns: int, took_ns: int, pace: Pace) -> None:
        if pace.samples > USUAL_CALLS_MIN and took_ns > LIMIT_SLOW * pace.quantile_ns(0.5):
            self._lower(now_ns)
        elif self.in_flight * 2 >= self.limit:
            self.limit = min(LIMIT_MAX, self.limit + 1.0 / self.limit)

    def _lower(self, now_ns: int) -> None:
        if now_ns - self.lowered_ns >= LIMIT_FALLS_EVERY_NS:
            self.lowered_ns = now_ns
            self.limit = max(LIMIT_MIN, self.limit * LIMIT_FALLS_TO)
