"""Whether words follow a text closely though some are changed, dropped or put in, told word by word.

Chains of words that stand in both in the same order are followed, with gaps of at most a few words on either side. A
chain tells when it has enough words within SPAN words of what is read, enough of them with a meaning of their own: the
more words, the fewer of those.
"""

from __future__ import annotations

from collections.abc import Sequence

# By how many words are in order within SPAN words that were read: how many different ones with a meaning that takes.
SPAN = 12
_NEVER = SPAN + 1
MEANING = (*(_NEVER,) * 8, 3, 3, 2, 1, 1)
HITS = 8
# A chain ends where more words in a row are not of the text. It goes on past so many words of the text that were
# dropped, or have others in their place.
GAP = 3
DROP = 2
# With so many words in order, so many of them with a meaning, a chain may become one that tells: what follows can wait.
LIVE, LIVE_MEANING = 4, 2
# A chain begins at a word that stands in the text so often at most, and so many are followed at a time.
STARTS_MAX = 24
CHAINS_MAX = 48
# Between parts of a text, so that no chain goes from one to the next.
APART = ("\0",) * (GAP + 2)

_COMMON = frozenset(
    (  # noqa: SIM905 (as a list it would be four times as long)
        "a an and any are as at be been but by can could did do does for from had has have he her him his how i if in "
        "into is it its just like may me more most must my no not of on one only or other our out over she should so "
        "some such than that the their them then there these they this those to too under up us very was we well were "
        "what when where which while who why will with would you your also about after all before because between both "
        "each here make use used using first new help please provide following give let need want know answer question "
        "example information based given text way"
    ).split()
)


class Text:
    """A text ready to be followed. Immutable."""

    __slots__ = ("places", "words")

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self.places: dict[str, list[int]] = {}
        for at, word in enumerate(self.words):
            if word != APART[0]:
                self.places.setdefault(word, []).append(at)


class _Chain:
    """at: its last word's place in the text; hits: when each of its last words was read, the place of the newest last.
    meant: those with a meaning."""

    __slots__ = ("at", "hits", "meant")

    def __init__(self, at: int, hits: list[int], meant: list[tuple[int, str]]) -> None:
        self.at = at
        self.hits = hits
        self.meant = meant


class Follower:
    """Reads words one by one. read: how many there were."""

    __slots__ = ("_chains", "_live_until", "_text", "read")

    def __init__(self, text: Text) -> None:
        self._text = text
        self._chains: list[_Chain] = []
        self._live_until = 0
        self.read = 0

    @property
    def live(self) -> bool:
        """Whether what was read last may be the beginning of a stretch that tells."""
        return self.read < self._live_until

    def word(self, word: str) -> list[int]:
        """When the words were read that follow the text closely, with this one; empty when they do not."""
        self.read = now = self.read + 1
        places = self._text.places.get(word)
        if places is None:
            if self._chains:
                self._chains = [one for one in self._chains if now - one.hits[-1] <= GAP + 1]
            return []
        words = self._text.words
        common = word in _COMMON or len(word) < 3
        chains: list[_Chain] = []
        taken: set[int] = set()
        told: list[int] = []
        for one in self._chains:
            if now - one.hits[-1] > GAP + 1:
                continue
            put_in = now - one.hits[-1] - 1
            first = one.at + max(1, put_in)
            ahead = words[first : one.at + 2 + DROP]
            if word not in ahead:
                chains.append(one)
                continue
            at = first + ahead.index(word)
            if at in taken:
                continue
            taken.add(at)
            since = now - SPAN
            hits = [when for when in one.hits if when > since]
            hits.append(now)
            meant = [each for each in one.meant if each[0] > since]
            if not common:
                meant.append((now, word))
            chains.append(_Chain(at, hits, meant))
            if len(hits) >= LIVE and len(meant) >= LIVE_MEANING:
                self._live_until = now + GAP + 1
            if len(meant) >= MEANING[len(hits)] and len({each[1] for each in meant}) >= MEANING[len(hits)]:
                told = hits
        if len(places) <= STARTS_MAX:
            chains += [_Chain(at, [now], [] if common else [(now, word)]) for at in places if at not in taken]
        # The longest first, and the newest of those that are as long.
        if len(chains) > CHAINS_MAX:
            chains.sort(key=_length, reverse=True)
            del chains[CHAINS_MAX:]
        self._chains = chains
        return told


def _length(chain: _Chain) -> tuple[int, int]:
    return len(chain.hits), chain.hits[-1]
