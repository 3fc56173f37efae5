"""The faults of providers that a gateway has to end well: one row each, how to cause it and how a call may end.

Data only. The scenario tests, the fault drill and the fault soak all run over this table.
"""

from __future__ import annotations

import msgspec

from signalbox.control.transcripts import End

WHOLE: frozenset[End] = frozenset({"whole"})
STATUS: frozenset[End] = frozenset({"status"})
CUT: frozenset[End] = frozenset({"cut"})


class FaultRow(msgspec.Struct, frozen=True):
    """One fault of a provider.

    number: of the row in docs/reliability.md. spec: as the simulator takes it; empty for a closed port. alone: how a
    stream may end when nothing else may serve the call; backed: when a healthy deployment may, without stream rescue;
    rescued: with it. Calls that do not stream may end `unary_alone` and `unary_backed`. books: whether the provider's
    own figures are right, so that the ledger must equal the bill.
    """

    name: str
    number: int
    spec: str
    alone: frozenset[End]
    backed: frozenset[End]
    rescued: frozenset[End]
    unary_alone: frozenset[End]
    unary_backed: frozenset[End]
    books: bool = True

    def ends(self, *, stream: bool, backed: bool, rescue: bool) -> frozenset[End]:
        """How a call may end."""
        if not stream:
            return self.unary_backed if backed else self.unary_alone
        return (self.rescued if rescue else self.backed) if backed else self.alone


def _early(name: str, number: int, spec: str, alone: frozenset[End] = STATUS) -> FaultRow:
    """It shows before the first byte of content: another deployment answers unseen."""
    return FaultRow(name, number, spec, alone, WHOLE, WHOLE, alone, WHOLE)


def _middle(name: str, number: int, spec: str, unary: frozenset[End] = STATUS) -> FaultRow:
    """It shows in the middle: a stream ends with an error, or is rescued."""
    return FaultRow(name, number, spec, CUT, CUT, WHOLE, unary, WHOLE)


def _harmless(name: str, number: int, spec: str, *, books: bool = True) -> FaultRow:
    """Odd, but the answer is there."""
    return FaultRow(name, number, spec, WHOLE, WHOLE, WHOLE, WHOLE, WHOLE, books)


def _callers(name: str, number: int, spec: str, backed: frozenset[End] = STATUS) -> FaultRow:
    """The caller's own doing: told as it is."""
    return FaultRow(name, number, spec, STATUS, backed, backed, STATUS, backed)


ROWS: tuple[FaultRow, ...] = (
    _early("refused", 1, ""),
    _early("hang", 3, "hang"),
    # The simulator generates while its head crawls; nothing told of it, so its bill may be above our upper bound.
    FaultRow("slow-headers", 4, "slow_headers@300ms", STATUS, WHOLE, WHOLE, STATUS, WHOLE, books=False),
    _early("late-head", 5, "ttft@12s"),
    # A whole answer may take its time; only a stream has a first token to wait for.
    FaultRow("late-token", 5, "first_token@12s", STATUS, WHOLE, WHOLE, STATUS, WHOLE),
    _early("reset", 6, "reset"),
    _early("reset-once", 6, "reset;once", WHOLE | STATUS),
    _early("close", 6, "close"),
    _middle("reset-mid", 7, "reset_mid@10"),
    _middle("eof", 8, "eof@10"),
    _middle("fin", 9, "fin@10"),
    _middle("half-close", 9, "half_close@10"),
    _middle("stall", 10, "stall@10/60s"),
    FaultRow("bad-json", 11, "bad_json@10", CUT, CUT, WHOLE, WHOLE, WHOLE),
    FaultRow("no-blank-line", 11, "no_blank_line@8", CUT, CUT, WHOLE, WHOLE, WHOLE),
    _harmless("cr", 11, "cr"),
    _harmless("crlf", 11, "crlf"),
    # A byte order mark before a whole JSON body is not JSON.
    FaultRow("bom", 11, "bom", WHOLE, WHOLE, WHOLE, WHOLE | STATUS, WHOLE),
    _harmless("no-space", 11, "no_space"),
    _harmless("comments", 11, "comments"),
    _harmless("slices", 11, "slice@16"),
    _harmless("long-line", 11, "long_line@200000"),
    # Where only the terminator is missing the answer is whole, and is finished for the client; the Responses API has
    # nothing before its terminator that says so.
    FaultRow("no-end", 11, "no_done", WHOLE | CUT, WHOLE | CUT, WHOLE, WHOLE, WHOLE),
    _harmless("end-twice", 12, "dup_done"),
    _harmless("after-end", 12, "after_done"),
    _early("html", 13, "html"),
    _early("error-body", 13, "error_body"),
    _early("empty", 13, "empty"),
    FaultRow("cut-json", 13, "cut_json", WHOLE, WHOLE, WHOLE, STATUS, WHOLE),
    FaultRow("wrong-type", 13, "wrong_type", STATUS, WHOLE, WHOLE, WHOLE | STATUS, WHOLE, books=False),
    _early("redirect", 13, "redirect"),
    FaultRow("error-first", 14, "sse_error@0", STATUS, WHOLE, WHOLE, WHOLE, WHOLE),
    FaultRow("error-mid", 14, "sse_error@10", CUT, CUT, WHOLE, WHOLE, WHOLE),
    _early("429", 15, "429"),
    _early("429-once", 15, "429@1;once", WHOLE | STATUS),
    _early("429-long", 15, "429@3600"),
    _early("429-date", 15, "429@date30"),
    _early("429-negative", 15, "429@-1"),
    _early("429-ms", 15, "429@250ms"),
    _early("503", 16, "503"),
    _early("529", 16, "529"),
    _early("500", 16, "500"),
    _early("500-once", 16, "500;once", WHOLE | STATUS),
    _harmless("no-usage", 18, "no_usage", books=False),
    _harmless("zero-usage", 18, "zero_usage", books=False),
    _harmless("wrong-usage", 18, "wrong_usage", books=False),
    _harmless("over-max", 19, "over_max@30"),
    _harmless("closes-idle", 25, "close_after"),
    _early("401", 15, "401"),
    _early("403", 15, "403"),
    _early("404", 15, "404"),
    _early("quota", 15, "quota"),
    # Answered by a larger model where there is one.
    _callers("context", 15, "context", STATUS | WHOLE),
    _callers("policy", 15, "policy"),
    _harmless("gzip", 11, "gzip"),
    _harmless("narrow", 4, "bandwidth@40000"),
)
