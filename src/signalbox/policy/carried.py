"""What a conversation carries: the labels that its turns had, found again by its name or by its first words."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.core.call import Call
from signalbox.core.labels import NONE, Labels
from signalbox.policy import sticky
from signalbox.policy.contents import Read, summed
from signalbox.policy.sticky import Conversations

_TURNS = frozenset(("user", "assistant", "tool", "function"))
_CONVERSATIONS = frozenset(("chat", "messages", "responses", "count_tokens"))


def carried(conversations: Conversations, call: Call, read: Read, labels: Labels, time_ms: Callable[[], int]) -> Labels:
    """The labels with those that the conversation carried before; keeps what is new about it.

    A named session keeps all its labels. Of one that only its first words tell, what is beyond the floor and cannot
    be read again from those words: a call that is nothing but its first message, or that nothing raised, writes
    nothing.
    """
    floor, of_key = call.workload.labels, call.principal.labels
    if of_key is not NONE:
        floor |= of_key
    names = sticky.named(call)
    turns = 0
    for part in read.parts:
        if part.role in _TURNS:
            turns += 1
    if not names and turns < 2 and (labels is floor or labels == floor):
        return labels
    tenant = call.principal.tenant.encode()
    now_s = time_ms() // 1000
    # A named session carries its class into whatever workload it is used in next, declared or found.
    keys = [(conversations.of_name(tenant, name), NONE, True) for name in names]
    origin = _origin(read) if call.api in _CONVERSATIONS and (turns > 1 or labels != floor) else None
    if origin is not None:
        texts = (read.parts[at].text.encode("utf-8", "surrogatepass") for at in origin)
        identity = conversations.identity(b"text", tenant, call.principal.key_id.encode(), *texts)
        evident = summed([read.contents[at] for at in origin]).labels
        keys.append((identity, floor | evident, False))
    entries = [conversations.recall(key, now_s) for key, _, _ in keys]
    own = labels
    # A first message of its own is a new conversation, whatever others began with the same words.
    labels |= sticky.union(entries if turns > 1 or origin is None else entries[:-1])
    for (key, evident, slides), entry in zip(keys, entries, strict=True):
        # What was kept of a text would be kept for ever if every other conversation that begins alike renewed it.
        needed = labels if slides else own
        if needed | evident == evident:
            continue
        if entry is None or entry.labels | needed != entry.labels or not conversations.is_fresh(entry, now_s):
            conversations.keep(key, needed, now_s)
    return labels


def _origin(read: Read) -> tuple[int, ...] | None:
    """Positions of what a conversation is known by: its system prompts, and the first message of its user."""
    at: list[int] = []
    for position, part in enumerate(read.parts):
        if part.role in ("system", "developer"):
            at.append(position)
        elif part.role == "user":
            return (*at, position)
    return None
