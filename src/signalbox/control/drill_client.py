"""One plain call through the gateway of a drill, and how it ended for its caller."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from signalbox.control.drill_ground import ANSWER_S, Installation
from signalbox.control.transcripts import PATHS, Transcript, read, unchunked

_TEXT = "Name the parts. [[tokens:40]][[delay_ms:2]]"


class Client:
    """key: a virtual key that may use every workload."""

    def __init__(self, installation: Installation, key: str) -> None:
        self._installation = installation
        self._key = key

    async def ask(self, workload: str, api: str, *, stream: bool, tag: str) -> tuple[Transcript, str]:
        """One call, with the tag where it changes nothing but which fault strikes."""
        body: dict[str, Any] = {"model": workload, "stream": stream}
        if api == "responses":
            body |= {"input": _TEXT, "max_output_tokens": 256, "store": False, "user": tag}
        elif api == "messages":
            body |= {"messages": [{"role": "user", "content": _TEXT}], "max_tokens": 256, "metadata": {"user_id": tag}}
        else:
            body |= {"messages": [{"role": "user", "content": _TEXT}], "max_tokens": 256, "user": tag}
        data = msgspec.json.encode(body)
        head = (
            f"POST {PATHS[api]} HTTP/1.1\r\nhost: drill\r\nconnection: close\r\ncontent-type: application/json\r\n"
            f"authorization: Bearer {self._key}\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        reader, writer = await self._installation.reach()
        try:
            writer.write(head.encode() + data)
            received = await asyncio.wait_for(reader.read(-1), ANSWER_S)
        except (TimeoutError, OSError):
            received = b""
        finally:
            writer.close()
        return _read(api, received, stream=stream)


def _read(api: str, received: bytes, *, stream: bool) -> tuple[Transcript, str]:
    """What came back, and which deployment it says it came from."""
    top, _, rest = received.partition(b"\r\n\r\n")
    first, *lines = top.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    words = first.split(" ")
    if len(words) < 2 or not words[1].isdigit():
        return Transcript("silent", 0), ""
    body = rest
    if headers.get("transfer-encoding") == "chunked":
        whole = unchunked(rest)
        if whole is None:
            return Transcript("silent", int(words[1])), ""
        body = whole
    seen = read(api, int(words[1]), body, stream=stream)
    return seen, headers.get("x-signalbox-placement", "").partition("@")[0]
