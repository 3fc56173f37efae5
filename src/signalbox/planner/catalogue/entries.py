"""The entries of the catalogue beside models and accelerators, and the catalogue itself with its look-ups."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable
from decimal import Decimal
from typing import Literal, TypeVar

import msgspec

from signalbox.planner.specs import Citation, GpuSpec, ModelSpec, PlannerError

Commitment = Literal["on-demand", "spot", "reserved-1y", "reserved-3y"]

_Entry = TypeVar("_Entry", ModelSpec, GpuSpec)
_T = TypeVar("_T")


class Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Accelerators to rent, in lots: `gpus` of them for `usd_per_hour` together. region: as rules name regions (us,
    eu/de, ...); vendor_region: as the vendor names it.
    """

    vendor: str
    instance: str
    gpu: str
    gpus: int
    region: str
    vendor_region: str
    commitment: Commitment
    usd_per_hour: Decimal
    source: Citation

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise ValueError("gpus must be at least 1")
        if not self.usd_per_hour > 0:
            raise ValueError("usd_per_hour must be above 0")

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.vendor, self.instance, self.vendor_region, self.commitment

    @property
    def usd_per_gpu_hour(self) -> Decimal:
        return self.usd_per_hour / self.gpus


class Purchase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Hardware to buy: a machine or device with `gpus` of one accelerator. watts: of the whole at full load."""

    name: str
    gpu: str
    gpus: int
    usd: Decimal
    watts: float
    source: Citation

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise ValueError("gpus must be at least 1")
        if not (self.usd > 0 and self.watts > 0):
            raise ValueError("usd and watts must be above 0")


class Ceiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The best MLPerf Inference v5.1 result of one accelerator on one model. output_tokens_per_s: per accelerator.
    input_tokens, output_tokens: means of the benchmark's data set. result: its public id.
    """

    model: str
    gpu: str
    input_tokens: float
    output_tokens: float
    output_tokens_per_s: float
    result: str
    source: Citation


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that is known, by list. Names are unique within a list; an offer is unique by its `key`."""

    models: tuple[ModelSpec, ...] = ()
    gpus: tuple[GpuSpec, ...] = ()
    offers: tuple[Offer, ...] = ()
    purchases: tuple[Purchase, ...] = ()
    ceilings: tuple[Ceiling, ...] = ()

    def model(self, name: str) -> ModelSpec:
        """By name or alias, whatever the case. Raises PlannerError that says what is near and where to add it."""
        return _found(self.models, name, "model", "models")

    def gpu(self, name: str) -> GpuSpec:
        """As `model`, for accelerators and edge devices."""
        return _found(self.gpus, name, "accelerator", "gpus")

    def offers_of(self, gpu: str) -> tuple[Offer, ...]:
        """Every way to rent an accelerator, the cheapest per accelerator first."""
        name = self.gpu(gpu).name
        return tuple(
            sorted((offer for offer in self.offers if offer.gpu == name), key=lambda offer: offer.usd_per_gpu_hour)
        )

    def ceiling(self, model: str, gpu: str) -> Ceiling | None:
        """The best result there is for a pair, by their own names; None: nobody published one."""
        return next((one for one in self.ceilings if (one.model, one.gpu) == (model, gpu)), None)

    def merged(self, other: Catalogue) -> Catalogue:
        """This catalogue with the other's entries added, or put in the place of those with the same name."""
        return Catalogue(
            models=_merge(self.models, other.models, _name),
            gpus=_merge(self.gpus, other.gpus, _name),
            offers=_merge(self.offers, other.offers, lambda offer: offer.key),
            purchases=_merge(self.purchases, other.purchases, _name),
            ceilings=_merge(self.ceilings, other.ceilings, lambda one: (one.model, one.gpu)),
        )

    def dangling(self) -> list[str]:
        """What names an accelerator or a model that is not here, in words."""
        models = {one.name for one in self.models}
        gpus = {one.name for one in self.gpus}
        found = [
            f"offer {' '.join(offer.key)} is for accelerator {offer.gpu!r}, which is not in the catalogue"
            for offer in self.offers
            if offer.gpu not in gpus
        ]
        found += [
            f"purchase {one.name!r} is of accelerator {one.gpu!r}, which is not in the catalogue"
            for one in self.purchases
            if one.gpu not in gpus
        ]
        found += [
            f"ceiling of {one.model!r} on {one.gpu!r}: one of the two is not in the catalogue"
            for one in self.ceilings
            if one.gpu not in gpus or one.model not in models
        ]
        return found


def _name(entry: ModelSpec | GpuSpec | Purchase) -> str:
    return entry.name


def _merge(old: tuple[_T, ...], new: tuple[_T, ...], key: Callable[[_T], Hashable]) -> tuple[_T, ...]:
    entries = {key(entry): entry for entry in old}
    entries.update({key(entry): entry for entry in new})
    return tuple(entries.values())


def _found(entries: Iterable[_Entry], name: str, what: str, section: str) -> _Entry:
    wanted = name.lower()
    names: dict[str, _Entry] = {}
    for entry in entries:
        for known in (entry.name, *entry.aliases):
            names[known.lower()] = entry
    if wanted in names:
        return names[wanted]
    near = difflib.get_close_matches(wanted, names, n=1)
    hint = f"Did you mean {names[near[0]].name}? " if near else ""
    raise PlannerError(
        f"{what} {name!r} is not in the catalogue. {hint}"
        f"Otherwise add it under `{section}` in a file and run `signalbox catalogue update FILE`."
    )
