"""What is asked in a request body of any dialect: the user's last words, and the shape of what stands around them."""

from __future__ import annotations

from typing import Any, cast

from signalbox.routing.difficulty.features import Asked

# Deeper or longer than this nobody writes a question.
_PARTS_MAX = 256
_JSON_FORMATS = frozenset(("json_object", "json_schema"))


def asked(doc: dict[str, Any], *, unreadable: bool = False) -> Asked:
    """doc: a parsed body of any of the conversation APIs, or of completions."""
    items: object = doc.get("messages") or doc.get("input")
    turns = 1
    text = ""
    if isinstance(items, list):
        messages = cast("list[object]", items)
        turns = len(messages)
        text = _last_words(messages)
    elif isinstance(items, str):
        text = items
    if not text:
        text = _text(doc.get("prompt"))
    tools = doc.get("tools")
    return Asked(
        text=text,
        system_chars=_system_chars(doc),
        turns=turns,
        tools=len(cast("list[object]", tools)) if isinstance(tools, list) else 0,
        json_output=_wants_json(doc),
        unreadable=unreadable,
    )


def goes_on(doc: dict[str, Any]) -> bool:
    """Whether a model has spoken in this conversation before."""
    items: object = doc.get("messages") or doc.get("input")
    if doc.get("previous_response_id"):
        return True
    if not isinstance(items, list):
        return False
    return any(_role(one) == "assistant" for one in cast("list[object]", items))


def _last_words(messages: list[object]) -> str:
    """The last message of the user that holds text; results of tools are none."""
    for message in reversed(messages):
        if _role(message) != "user":
            continue
        fields = cast("dict[str, Any]", message)
        text = _text(fields.get("content"))
        if text:
            return text
    return ""


def _role(message: object) -> str:
    if not isinstance(message, dict):
        return ""
    role = cast("dict[str, Any]", message).get("role")
    return role if isinstance(role, str) else ""


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for part in cast("list[object]", content)[:_PARTS_MAX]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            text = cast("dict[str, Any]", part).get("text")
            if isinstance(text, str):
                texts.append(text)
    return "\n".join(texts)


def _system_chars(doc: dict[str, Any]) -> int:
    items: object = doc.get("messages") or doc.get("input")
    chars = len(_text(doc.get("system"))) + len(_text(doc.get("instructions")))
    if isinstance(items, list):
        for message in cast("list[object]", items)[:4]:
            if _role(message) in ("system", "developer"):
                chars += len(_text(cast("dict[str, Any]", message).get("content")))
    return chars


def _wants_json(doc: dict[str, Any]) -> bool:
    wanted: object = doc.get("response_format")
    if wanted is None and isinstance(doc.get("text"), dict):
        wanted = doc["text"].get("format")
    return isinstance(wanted, dict) and cast("dict[str, Any]", wanted).get("type") in _JSON_FORMATS
