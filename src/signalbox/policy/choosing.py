"""How workloads choose, compiled: shares and qualities by deployment index, and cascades that are worth their price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from signalbox.config import schema_choosing, schema_tiering, schema_workloads
from signalbox.config.choosing import cascade_helpers, cascade_pair, shadow_pair
from signalbox.config.declared import Declared
from signalbox.core.choosing import Cascade, Choosing, Scorer
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS
from signalbox.core.shadowing import Shadow
from signalbox.core.snapshot import Deployment, Workload
from signalbox.core.tiering import Head, Tiered
from signalbox.core.usage import PICO, Usage
from signalbox.pricing.cost import cost

# What a price ratio is measured by: input to output as 3 to 1, a common mix.
# What a workload may lose that states neither a budget nor a bound.
LOSS_SHARE_MAX = 0.05
# Of the prior that nobody fitted: one failed check of form is below, one hedge is not.
UNFITTED_THRESHOLD = 0.5
_MIX = Usage(tokens_in=3000, tokens_out=1000)


def choosing_of(
    entry: schema_workloads.Workload, by_name: Mapping[str, Deployment], quality: Mapping[str, float]
) -> Choosing:
    """quality: what deployments themselves state, by name."""
    stated = {**quality, **entry.quality}
    return Choosing(
        weights=tuple((by_name[name].index, share) for name, share in entry.weights.items() if share > 0),
        sticky=entry.sticky,
        quality=tuple(stated.get(name) for name in by_name) if stated else (),
    )


def cascade_of(
    entry: schema_workloads.Workload, by_name: Mapping[str, Deployment], scorer: Scorer | None
) -> Cascade | None:
    if entry.strategy != "cascade":
        return None
    weak, strong = cascade_pair(entry)
    if weak is None or strong is None:
        return None
    stated = entry.cascade or schema_choosing.Cascade()
    threshold = stated.threshold
    if threshold is None and scorer is None:
        threshold = UNFITTED_THRESHOLD
    return Cascade(
        weak=by_name[weak].index,
        strong=by_name[strong].index,
        threshold=threshold,
        holds_streams=stated.streams == "hold",
        loss_share_max=stated.loss_share_max,
        confidence=stated.confidence,
        scorer=scorer,
        easy_share=stated.easy_share,
        hard_share=stated.hard_share,
        agrees_with=tuple(by_name[name].index for name in cascade_helpers(entry)),
    )


def tiered_of(entry: schema_workloads.Workload, head: Head | None) -> Tiered | None:
    if entry.strategy != "tiered":
        return None
    stated = entry.tiered or schema_tiering.Tiered()
    shares = stated.strong_share
    return Tiered(
        strong_shares=() if shares is None else tuple(shares) if isinstance(shares, list) else (shares,),
        loss_share_max=LOSS_SHARE_MAX if stated.loss_share_max is None else stated.loss_share_max,
        confidence=stated.confidence,
        band=stated.hysteresis_share,
        explore_share=stated.explore_share,
        easy=frozenset(stated.easy),
        head=head,
        head_id=head.id if head is not None else "",
        encoder=stated.encoder,
    )


def shadow_of(entry: schema_workloads.Workload) -> Shadow | None:
    stated = entry.shadow
    if stated is None:
        return None
    weak, strong = shadow_pair(entry)
    return Shadow(
        share=stated.share,
        weak=weak or "",
        strong=strong or "",
        judge=stated.judge or "",
        day_pico=round(stated.usd_per_day * PICO),
        level_max=LEVELS.index(stated.data_max),
        infra=stated.booked_to == "infra",
    )


def check_prices_of_cascades(
    declared: Declared, workloads: Mapping[str, Workload], deployments: Sequence[Deployment]
) -> None:
    """Raises ConfigError for cascades that would cost more than they save: each doubtful answer is paid for twice."""
    found = list(_unworthy(declared, workloads, deployments))
    if found:
        raise ConfigError(found)


def _unworthy(
    declared: Declared, workloads: Mapping[str, Workload], deployments: Sequence[Deployment]
) -> Iterator[str]:
    for name, workload in workloads.items():
        pair = workload.cascade
        if pair is None:
            continue
        stated = declared.config.workloads[name].cascade or schema_choosing.Cascade()
        if not stated.price_ratio_min:
            continue
        asked = [deployments[index] for index in (pair.weak, *pair.agrees_with)]
        strong, names = deployments[pair.strong], " with ".join(repr(one.name) for one in asked)
        ratio = _ratio(asked, strong)
        where = f"{declared.where(f'workloads.{name}')}: workloads.{name}"
        if ratio is None:
            yield (
                f"{where}: it is not known what {names} and {strong.name!r} cost, and so whether their cascade"
                " saves anything. State their prices, or set cascade.price_ratio_min to 0."
            )
        elif ratio < stated.price_ratio_min:
            yield (
                f"{where}: {strong.name!r} is {ratio:.1f} times as dear as {names}, and a cascade below"
                f" {stated.price_ratio_min:g} times costs more than it saves. Choose a cheaper weak model, another"
                " strategy, or lower cascade.price_ratio_min."
            )


def _ratio(asked: Sequence[Deployment], strong: Deployment) -> float | None:
    """How many times as dear the strong one is as all that are asked before it; None where one of them has no price."""
    lows, high = [cost(_MIX, one.rates) for one in asked], cost(_MIX, strong.rates)
    known = [low for low in lows if low is not None]
    if len(known) < len(lows) or high is None:
        return None
    low = sum(known)
    return high / low if low else float("inf")
