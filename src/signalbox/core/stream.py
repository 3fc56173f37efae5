"""What travels through the stages of a streamed answer: frames, and what was observed in each."""

from __future__ import annotations

import msgspec

from signalbox.core.hub import Event
from signalbox.core.usage import Usage


class SseEvent(msgspec.Struct, frozen=True, gc=False):
    """One server-sent event. raw: its bytes as received, including the blank line that ends it.

    A comment-only block has event == '' and data == b'' and comment True.
    """

    raw: bytes
    event: str
    data: bytes
    comment: bool = False


class Seen(msgspec.Struct, gc=False):
    """What metering and completion need to know of one upstream event (or of one whole body).

    content_chars: characters of visible output, tool arguments and reasoning in it. content: it carries content, so
    that fall-over ends here. finished: every choice has its finish reason. end: the protocol's own terminator.
    usage: token usage told by it, absolute (not an increment), merged by the observer with what was told before.
    usage_only: the event exists only to carry usage (chat's chunk with empty choices): it is withheld from clients
    who did not ask for it. error: (type, message) when the upstream reports a failure in-stream. ok: valid JSON of
    the right shape; an event with ok False is never forwarded.
    model: the upstream's echo of the model name, when told.
    """

    ok: bool = True
    content: bool = False
    content_chars: int = 0
    finished: bool = False
    end: bool = False
    usage: Usage | None = None
    usage_only: bool = False
    error: tuple[str, str] | None = None
    model: str | None = None


class Frame(msgspec.Struct, gc=False):
    """raw: upstream bytes to pass on as they are (same protocol). events: hub events to serialise (translated)."""

    raw: bytes
    events: list[Event] | None
    seen: Seen
