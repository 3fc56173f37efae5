"""What a guard is: a part that looks at requests, a part that looks at answers, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from signalbox.core.call import Call
from signalbox.core.guards import Channel, GuardUse, Verdict
from signalbox.core.ports import Dispatch
from signalbox.core.snapshot import Deployment, Workload
from signalbox.detectors.scan import Scanner


class Outgoing(msgspec.Struct, gc=False):
    """One attempt's body as it is about to leave. api: its dialect. body: exact bytes; doc: the same parsed, read-only.
    needed: the deployment may only see this once it was transformed by the guard of this name, or empty. ask: how
    another model is asked about it; None where nothing leaves. conversation: what identifies it, and whose it is, as a
    digest. outside: pointers of texts that nobody vouches for although this dialect cannot say so."""

    call: Call
    deployment: Deployment
    api: str
    body: bytes
    doc: dict[str, Any]
    needed: str = ""
    ask: Dispatch | None = None
    conversation: bytes = b""
    outside: frozenset[str] = frozenset()


class Screened(msgspec.Struct, frozen=True, gc=False):
    """What a request guard says. body: other bytes to send instead, None to leave them. A verdict with action block
    ends the call. transformed: the guard's name where it did what rules count on it for."""

    body: bytes | None = None
    verdicts: tuple[Verdict, ...] = ()
    transformed: str = ""


UNTOUCHED = Screened()


class RequestGuard(Protocol):
    """Works on one attempt's final bytes. An exception, or running out of time, is a failure of the guard."""

    async def screen(self, sent: Outgoing) -> Screened: ...


class Window(Protocol):
    """One channel of one answer, as it streams. How a text is split must never change what comes out in all.

    feed, end: what may be shown now, and what was found if anything was. What is held back never exceeds the
    `hold_chars_max` of its watch. After a verdict with action cut, the text given with it is the last that is shown.
    held: what is held back now, which goes on unread should the guard fail and be declared to fail open.
    """

    @property
    def held(self) -> str: ...

    def feed(self, text: str) -> tuple[str, Verdict | None]: ...

    def end(self) -> tuple[str, Verdict | None]:
        """The channel is over: everything held back comes out, or is dropped with a verdict."""
        ...


class Watch(Protocol):
    """Looks at one answer of one call. hold_chars_max: the most that one of its windows holds back."""

    hold_chars_max: int

    def window(self, channel: Channel) -> Window | None:
        """A window for a channel that begins, None to let it pass. A text that is told once, whole,
        gets a window of its own. Text of kind tool is JSON, and what comes out has to be JSON of the same shape."""
        ...

    def passes(self, channel: Channel, text: str) -> bool:
        """Whether a text that is told once, whole, passes as it is, with nothing to say about it. False: a window is
        asked."""
        ...

    def over(self) -> Verdict | None:
        """The answer came to its end; for what only shows on the whole."""
        ...


class AnswerGuard(Protocol):
    """Looks at answers, streamed or not, before the client gets a character of them."""

    def watch(self, call: Call) -> Watch | None:
        """For a new answer; None when this call needs none."""
        ...


class Guard(msgspec.Struct, frozen=True):
    """One guard of one workload, ready to work. order: answers pass guards of lower order first (restoring is 0).
    scanner: what it looks with, which somebody may make ready before a text waits for that."""

    use: GuardUse
    request: RequestGuard | None = None
    answer: AnswerGuard | None = None
    order: int = 10
    scanner: Scanner | None = None


class Vault(Protocol):
    """Keeps small secrets of conversations for all processes of an installation: encrypted, for a while, on disk when
    `keep` returns. Both raise core.errors.Overloaded when that cannot be done."""

    def recall(self, scope: bytes, lifetime_s: int) -> list[tuple[str, str]]:
        """The entries of a scope, oldest first, which are now kept for so long again."""
        ...

    def keep(self, scope: bytes, entries: Sequence[tuple[str, str]], lifetime_s: int) -> list[tuple[str, str]]:
        """Adds (token, value) entries; returns those that hold: where another process was first with a value, its
        token."""
        ...


class SharedVault(Protocol):
    """The same for machines that share a store. Both raise core.errors.Overloaded when that cannot be done."""

    async def fetch(self, scope: bytes, lifetime_s: int) -> list[tuple[str, str]]: ...

    async def settle(
        self, scope: bytes, entries: Sequence[tuple[str, str]], lifetime_s: int
    ) -> list[tuple[str, str]]: ...


class Means(msgspec.Struct, frozen=True):
    """What guards are made with, besides their own settings. vault: keeps the maps of pseudonyms; None where nothing
    leaves (checks, tests of a guard alone); shared: what machines share of them, None where nothing is. deployments:
    all that are declared, with the protocol that each one speaks."""

    workload: Workload
    vault: Vault | None = None
    shared: SharedVault | None = None
    deployments: Mapping[str, str] = {}


# One entry of the table: makes the guard of a workload. Raises core.errors.ConfigError when its settings cannot work.
Maker = Callable[[GuardUse, Means], Guard]
