"""Whom a call is for, as far as its caller says: end user, session and tags, to attribute its cost."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.call import UNATTRIBUTED, ForWhom
from signalbox.core.errors import BadRequest

ID_CHARS_MAX = 128
TAG_CHARS_MAX = 64
TAGS_MAX = 8
# The members of a body that name its user.
_NAMING = frozenset(("safety_identifier", "user", "metadata"))


def for_whom(doc: dict[str, Any], sessions: tuple[str, ...], tags: bytes) -> ForWhom:
    """user: OpenAI's `safety_identifier` or `user`, Anthropic's `metadata.user_id`. tags: the header's value."""
    if not (sessions or tags) and _NAMING.isdisjoint(doc):
        return UNATTRIBUTED
    user = doc.get("safety_identifier") or doc.get("user")
    if user is None:
        metadata = doc.get("metadata")
        user = cast("dict[str, Any]", metadata).get("user_id") if isinstance(metadata, dict) else None
    if not (user or sessions or tags):
        return UNATTRIBUTED
    return ForWhom(_id(user), _id(sessions[0]) if sessions else "", _tags(tags) if tags else ())


def _id(value: object) -> str:
    """An id as it is kept: its beginning, without what no id holds. What is no text attributes nothing."""
    if not isinstance(value, str):
        return ""
    short = value[:ID_CHARS_MAX]
    return short if short.isprintable() else "".join(c for c in short if c.isprintable())


def _tags(value: bytes) -> tuple[str, ...]:
    """Raises BadRequest: a tag that is cut or dropped would be somebody's cost in the wrong place."""
    found = tuple(dict.fromkeys(tag for part in value.decode("latin-1").split(",") if (tag := part.strip())))
    if len(found) > TAGS_MAX or any(len(tag) > TAG_CHARS_MAX or not tag.isprintable() for tag in found):
        raise BadRequest(
            f"x-signalbox-tags takes up to {TAGS_MAX} tags of at most {TAG_CHARS_MAX} printable characters.",
            param="x-signalbox-tags",
        )
    return found
