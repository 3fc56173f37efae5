"""The part of a client's time that one exchange may take, where that is less than its deployment allows."""

from __future__ import annotations

import msgspec

# However little time there is, so long is waited.
SHARE_S_MIN = 0.05


class TimeShare(msgspec.Struct, frozen=True, gc=False):
    """The part of a client's time that one attempt may use, shorter than its deployment's own limits.

    connect_s: for a connection. silent_s: from the beginning of the exchange to the first token of a stream, else to
    the end of the answer; infinite for no bound. connect_tells, silence_tells: whether it says something about the
    replica when it was not done by then."""

    connect_s: float
    connect_tells: bool
    silent_s: float
    silence_tells: bool

    def after(self, passed_s: float) -> TimeShare:
        """What of it is left when so much has gone by."""
        return TimeShare(
            max(self.connect_s - passed_s, SHARE_S_MIN),
            self.connect_tells,
            max(self.silent_s - passed_s, SHARE_S_MIN),
            self.silence_tells,
        )
