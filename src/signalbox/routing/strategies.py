"""How permitted deployments are ordered: one pure function a strategy, in a typed table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from signalbox.core.choosing import Cascade, Choosing
from signalbox.core.snapshot import Deployment
from signalbox.core.usage import Usage
from signalbox.pricing.tariff import charge

# Answers are taken to be so long where nobody says, and a third of what they answer.
ANSWER_TOKENS = 256
# A deployment is timed once so many of its answers were; before that, it is given calls to be timed by.
TIMED_MIN = 8
# One call in so many of strategy fastest goes to the one that was timed least, so that what was slow can be seen again.
LOOK_EVERY = 50


class Paces(msgspec.Struct, frozen=True, gc=False):
    """How fast one deployment is, in nanoseconds: quantiles of the time to first content, and of whole answers that do
    not stream. timed, timed_whole: how many answers that is known from."""

    first_p50_ns: int = 0
    first_p95_ns: int = 0
    timed: int = 0
    whole_p50_ns: int = 0
    timed_whole: int = 0


UNTIMED = Paces()


class Situation(msgspec.Struct, frozen=True):
    """What a choice may look at beside the configuration; the default is what is known when nothing is.

    seed: a number drawn from the call, or from its conversation where that is to stay. tokens_in, tokens_out:
    estimated. stayed: the deployment that answered this conversation last, with the tokens of it that are cached there.
    time_ms: Unix milliseconds, for prices by the time of day. paces: by deployment index. tiers: puts the tier that
    this call needs first, and says why.
    """

    choosing: Choosing = Choosing()
    cascade: Cascade | None = None
    seed: int = 0
    tokens_in: int = 1024
    tokens_out: int = ANSWER_TOKENS
    stayed: str = ""
    cached: int = 0
    streams: bool = True
    time_ms: int = 0
    paces: Callable[[int], Paces] = lambda _: UNTIMED
    tiers: Callable[[list[Deployment]], tuple[list[Deployment], str]] | None = None


NOTHING_KNOWN = Situation()
Strategy = Callable[[Sequence[Deployment], Situation], list[Deployment]]


def fixed(candidates: Sequence[Deployment], _: Situation) -> list[Deployment]:
    """The order in which the workload lists its placements."""
    return list(candidates)


def cheapest(candidates: Sequence[Deployment], known: Situation) -> list[Deployment]:
    """By what this call would cost at each, its cached beginning included; the unpriced last, ties in listed order."""
    return sorted(candidates, key=lambda one: _dearness(one, known))


def _dearness(deployment: Deployment, known: Situation) -> tuple[bool, int]:
    cost = expected_pico(deployment, known)
    return cost is None, cost or 0


def expected_pico(deployment: Deployment, known: Situation) -> int | None:
    """What a call is expected to add to the bill at a deployment, in pico-dollars; None where that is unpriced. GPUs of
    one's own cost the same whether they serve it or not, so that nothing is added."""
    if not deployment.rates.priced:
        return None
    if deployment.rates.gpu_ns:
        return 0
    cached = min(known.cached, known.tokens_in) if deployment.name == known.stayed else 0
    usage = Usage(tokens_in=known.tokens_in - cached, cache_read=cached, tokens_out=known.tokens_out)
    return charge(usage, deployment.rates, deployment.tariff, known.time_ms)


# Whose own machines come first: what still serves when the way out is down.
_NEARNESS = {"edge": 0, "on-prem": 1, "private-cloud": 2, "cloud": 3}


def edge_first(candidates: Sequence[Deployment], _: Situation) -> list[Deployment]:
    """The nearest first: edge, on-prem, private cloud, cloud; in listed order where they are equally near."""
    return sorted(candidates, key=lambda d: _NEARNESS[d.environment.kind])


def fastest(candidates: Sequence[Deployment], known: Situation) -> list[Deployment]:
    """By the median time to first content that was seen of late, for calls that do not stream of whole answers. Who was
    not timed yet comes first, and once in a while whoever was timed least."""

    def key(one: Deployment) -> tuple[int, int]:
        paces = known.paces(one.index)
        took_ns, timed = (paces.first_p50_ns, paces.timed) if known.streams else (paces.whole_p50_ns, paces.timed_whole)
        return (1, took_ns) if timed >= TIMED_MIN else (0, timed)

    ranked = sorted(candidates, key=key)
    if len(ranked) > 1 and _mixed(known.seed, 0) % LOOK_EVERY == 0:
        paces = known.paces
        least = min(ranked, key=lambda one: paces(one.index).timed + paces(one.index).timed_whole)
        ranked.remove(least)
        ranked.insert(0, least)
    return ranked


def weighted(candidates: Sequence[Deployment], known: Situation) -> list[Deployment]:
    """Each first in its share of calls, and behind it in the order in which shares would decide among the rest; who has
    no share comes last, in listed order."""
    shares = dict(known.choosing.weights)

    def key(one: Deployment) -> tuple[bool, float]:
        share = shares.get(one.index, 0.0)
        if share <= 0:
            return True, 0.0
        # An exponential race: the first of these is each with a probability of its share.
        drawn = (_mixed(known.seed, salt_of(one.name)) + 1) / (1 << 64)
        return False, -math.log(drawn) / share

    return sorted(candidates, key=key)


def cascade(candidates: Sequence[Deployment], known: Situation) -> list[Deployment]:
    """The weak model, then the strong one, then what else is listed."""
    pair = known.cascade
    if pair is None:
        return list(candidates)
    order = {pair.weak: 0, pair.strong: 1}
    return sorted(candidates, key=lambda one: order.get(one.index, 2))


def tiered(candidates: Sequence[Deployment], known: Situation) -> list[Deployment]:
    """Tiers from the cheapest to the strongest, then those that another one beats; each call takes the tier that it
    needs."""
    tiers = undominated(candidates, known.choosing)
    return [*tiers, *(one for one in cheapest(candidates, NOTHING_KNOWN) if one not in tiers)]


def undominated(candidates: Sequence[Deployment], choosing: Choosing) -> list[Deployment]:
    """Those that no other one beats in price and in quality, by price. Where quality is unknown, dearer is better."""
    kept: list[Deployment] = []
    best = -1.0
    for one in cheapest(candidates, NOTHING_KNOWN):
        quality = choosing.quality_of(one.index)
        if quality is None or quality > best:
            kept.append(one)
            best = best if quality is None else quality
    return kept


STRATEGIES: dict[str, Strategy] = {
    "fixed": fixed,
    "cheapest": cheapest,
    "fastest": fastest,
    "weighted": weighted,
    "cascade": cascade,
    "tiered": tiered,
    "overflow": fixed,  # and past those that are full, which is found out at each call
    "edge-first": edge_first,
}
# Those whose order depends on more than the configuration and what the call needs.
LIVE = frozenset(("cheapest", "fastest", "weighted", "tiered"))

_salts: dict[str, int] = {}
_SALTS_MAX = 4096
_MASK = (1 << 64) - 1


def salt_of(name: str) -> int:
    """A number that stands for a name, the same in every process."""
    found = _salts.get(name)
    if found is None:
        if len(_salts) >= _SALTS_MAX:
            _salts.clear()
        found = _salts[name] = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    return found


def _mixed(seed: int, salt: int) -> int:
    """64 bits in which every bit depends on every bit of both (the finaliser of splitmix64)."""
    mixed = ((seed ^ salt) + 0x9E3779B97F4A7C15) & _MASK
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
    return mixed ^ (mixed >> 31)
