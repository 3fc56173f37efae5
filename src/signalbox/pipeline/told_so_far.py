"""What an honest end has to know of a stream that passes: the response and its items, and the blocks that are open."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.guards import Channel
from signalbox.wire import visible


class ToldSoFar:
    """Of one stream, as its client was told it. blocks: numbers of those that are open, for Messages."""

    __slots__ = ("_items", "_response", "blocks")

    def __init__(self) -> None:
        self.blocks: list[int] = []
        self._response: dict[str, Any] = {}
        # By number, with the texts that the client has of each.
        self._items: dict[int, tuple[dict[str, Any], list[str]]] = {}

    def note_response(self, doc: dict[str, Any]) -> None:
        """An event of a Responses stream."""
        if doc.get("type") == "response.created" and isinstance(doc.get("response"), dict):
            self._response = doc["response"]
        elif doc.get("type") == "response.output_item.added" and isinstance(doc.get("item"), dict):
            number = doc.get("output_index")
            if isinstance(number, int) and len(self._items) < visible.CHOICES_MAX:
                self._items[number] = (doc["item"], [])

    def note_text(self, channel: Channel, text: str) -> None:
        """Text of a Responses stream that the client is told."""
        if text and channel.kind == "text":
            held = self._items.get(visible.item_of(channel))
            if held is not None:
                held[1].append(text)

    def note_blocks(self, doc: dict[str, Any]) -> None:
        """An event of any stream; only Messages opens and closes blocks."""
        kind, number = doc.get("type"), doc.get("index")
        if kind == "content_block_start" and isinstance(number, int) and len(self.blocks) < visible.CHOICES_MAX:
            self.blocks.append(number)
        elif kind == "content_block_stop" and number in self.blocks:
            self.blocks.remove(cast(int, number))

    def response(self) -> dict[str, Any]:
        """The response object as far as it was told; empty for other streams."""
        output: list[dict[str, Any]] = []
        for _, (item, told) in sorted(self._items.items()):
            if item.get("type") == "message":
                part: dict[str, Any] = {"type": "output_text", "text": "".join(told), "annotations": []}
                output.append({**item, "status": "incomplete", "content": [part]})
        return {**self._response, "output": output}
