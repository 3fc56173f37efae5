"""Documents that identity providers publish, and above all their public keys: fetched, bounded, and never too often."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

from signalbox.config.address import AddressProblem, origin_of
from signalbox.config.jwks import public_keys
from signalbox.core.errors import UpstreamFault
from signalbox.core.issuers import Address, PublicKey
from signalbox.upstream.ask import Asker

DOCUMENT_BYTES_MAX = 512 * 1024
FETCH_S = 10.0
# Whatever asks for it, and whatever became of the last time, a document is fetched no more often than this.
FETCH_EVERY_S_MIN = 30.0


class Unavailable(Exception):
    """A provider cannot be asked, or its answer is none. What is said is for operators."""


def asker_for(address: Address, headers: list[tuple[bytes, bytes]] | None = None) -> Asker:
    """Raises Unavailable for an address that cannot be asked."""
    path, mark, query = address.url.partition("?")
    try:
        origin = origin_of(path, private=address.private, ca_file=address.ca_file, proxy=None)
        lines = [(b"accept", b"application/json"), (b"user-agent", b"signalbox"), *(headers or ())]
        return Asker(origin, f"{mark}{query}", lines)
    except AddressProblem as problem:
        raise Unavailable(f"its address {problem}") from None
    except ValueError as problem:
        raise Unavailable(str(problem)) from None


async def fetched(address: Address) -> bytes:
    """Raises Unavailable."""
    asker = asker_for(address)
    try:
        heard = await asker.get(FETCH_S, DOCUMENT_BYTES_MAX)
    except UpstreamFault as fault:
        raise Unavailable(fault.message) from None
    finally:
        asker.close()
    if heard.status != 200:
        raise Unavailable(f"it answers with status {heard.status}")
    return heard.body


class PublishedKeys:
    """The keys at one address. now_s: Unix seconds.

    keys: the last good ones, none before the first. good_s: when those were fetched, 0 for never. problem: why the last
    fetch failed, empty when it did not."""

    def __init__(self, address: Address, now_s: Callable[[], float]) -> None:
        self.address = address
        self.keys: tuple[PublicKey, ...] = ()
        self.good_s = 0.0
        self.problem = ""
        self.fetches = 0
        self.failures = 0
        self._now_s = now_s
        self._tried_s: float | None = None
        self._fetching: asyncio.Task[None] | None = None

    def recall(self, keys: tuple[PublicKey, ...], good_s: float) -> None:
        """What was known before this process was started."""
        self.keys, self.good_s = keys, good_s

    def may_fetch(self) -> bool:
        """Whether enough time has passed since the last try."""
        return self._tried_s is None or not 0 <= self._now_s() - self._tried_s < FETCH_EVERY_S_MIN

    def age_s(self) -> float:
        return max(self._now_s() - self.good_s, 0.0)

    async def refresh(self) -> bool:
        """Fetches them, if that may be; whoever asks meanwhile waits for the same fetch. Whether it went well."""
        if self._fetching is None or self._fetching.done():
            if not self.may_fetch():
                return False
            self._tried_s = self._now_s()
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        await asyncio.shield(self._fetching)
        return not self.problem

    async def _fetch(self) -> None:
        self.fetches += 1
        try:
            self.keys = public_keys(await fetched(self.address), published=True)
        except Unavailable as error:
            self.problem = str(error)
        except ValueError as error:
            self.problem = f"what is there {error}"
        else:
            self.problem, self.good_s = "", self._now_s()
            return
        self.failures += 1

    def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()


def json_object(body: bytes) -> dict[str, Any]:
    """Raises Unavailable."""
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Unavailable("its answer is not a JSON object") from None
