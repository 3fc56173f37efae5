"""Other people's cost tables, recomputed: what each claim comes to from its own inputs, and where a table contradicts
itself. Prices that a claim does not give come from the price catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.problems import Problems
from signalbox.config.references import References
from signalbox.config.schema_words import Name, Text, Word
from signalbox.config.shape import Shape
from signalbox.config.yaml12 import parse
from signalbox.planner.economics import RatesFor
from signalbox.planner.quantity import Quantity, lift, plain

ClaimKind = Literal["api", "gpus", "blend", "rate", "queries", "crossover"]
# A claim that its own inputs reproduce to this share holds.
TOLERANCE = 0.05

Usd = Annotated[Quantity, Meta(extra={"unit": "USD"})]


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the traffic at the cost of another claim."""

    claim: Annotated[Name, Meta(description="The claim that says what all of it would cost there.")]
    share: Annotated[Annotated[Quantity, Meta(extra={"unit": "share"})], Meta(description="Share of the traffic.")]
    keeps_cost: Annotated[
        bool, Meta(description="Its cost does not shrink with the share, as that of GPUs that run anyway.")
    ] = False


class Claim(Struct, frozen=True, forbid_unknown_fields=True):
    """One line of somebody's table. kind says what it is computed from."""

    kind: Annotated[
        ClaimKind,
        Meta(
            description="api: tokens a day at token prices. gpus: GPUs by hour. blend: parts of other claims. rate: "
            "a cost for some tokens a day, compared with a claim `of` the same model. queries: calls at a price each. "
            "crossover: tokens a day at which GPUs cost what an API does."
        ),
    ]
    claimed: Annotated[Quantity, Meta(description="What the table says: USD a month, for crossover tokens a day.")]
    what: Annotated[Text, Meta(description="The claim in words.")] = ""
    tokens_per_day: Annotated[
        Annotated[Quantity, Meta(extra={"unit": "tokens per day"})] | None, Meta(description="Tokens a day.")
    ] = None
    input_share: Annotated[
        Annotated[Quantity, Meta(extra={"unit": "share"})] | None, Meta(description="Of the tokens, those of input.")
    ] = None
    model: Annotated[Text | None, Meta(description="The model, as the price catalogue names it.")] = None
    provider: Annotated[Word | None, Meta(description="The provider of the price catalogue.")] = None
    input_mtok: Annotated[
        Annotated[Quantity, Meta(extra={"unit": "USD/Mtok"})] | None, Meta(description="Instead of a model: input.")
    ] = None
    output_mtok: Annotated[
        Annotated[Quantity, Meta(extra={"unit": "USD/Mtok"})] | None, Meta(description="Instead of a model: output.")
    ] = None
    gpus: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How many GPUs.")] = None
    gpu_usd_per_hour: Annotated[
        Annotated[Quantity, Meta(extra={"unit": "USD/h"})] | None, Meta(description="One GPU for an hour.")
    ] = None
    parts: Annotated[list[Part], Meta(max_length=20, description="Of a blend.")] = []
    of: Annotated[Name | None, Meta(description="The claim that this one is compared with.")] = None
    queries_per_month: Annotated[Quantity | None, Meta(description="Calls a month.")] = None
    usd_per_query: Annotated[Usd | None, Meta(description="Price of a call.")] = None
    days: Annotated[Quantity, Meta(description="Days of the claim's month or year.")] = Quantity(
        30, provenance="default"
    )


class ClaimsFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of claims for `signalbox plan audit`."""

    name: Annotated[Text, Meta(description="Where the table stands.")] = "claims"
    claims: Annotated[dict[Name, Claim], Meta(max_length=1000, description="Claims by name.")] = {}


class Finding(Struct, frozen=True):
    """recomputed: from the claim's own inputs. ratio: claimed over recomputed. holds: within TOLERANCE. notes: how."""

    claim: str
    claimed: float
    recomputed: float
    ratio: float
    holds: bool
    notes: tuple[str, ...]

    def sentence(self) -> str:
        verdict = "holds" if self.holds else f"is {self.ratio:.2f}x what its inputs give"
        return f"{self.claim}: {plain(self.claimed)} claimed, {plain(self.recomputed)} recomputed: {verdict}"


def read_claims(content: bytes, name: str) -> ClaimsFile:
    """Raises ConfigError with every finding."""
    problems = Problems(name)
    tree = lift(parse(content, name), ClaimsFile, problems)
    file = Shape(problems, References({}, FilePath(name).parent)).read(tree, ClaimsFile)
    for claim_name, claim in file.claims.items():
        for missing in _missing(claim):
            problems.add(("claims", claim_name), f"of kind {claim.kind} needs {missing}", "Add it")
        for other in (*(part.claim for part in claim.parts), *([claim.of] if claim.of else [])):
            if other not in file.claims:
                problems.add(("claims", claim_name), f"names {other!r}, which is no claim", "Name one of this file")
            elif file.claims[other].kind in ("blend", "rate", "crossover"):
                problems.add(
                    ("claims", claim_name), f"builds on {other!r}, a {file.claims[other].kind}", "Name an input"
                )
    problems.raise_if_any()
    return file


def _missing(claim: Claim) -> Iterator[str]:
    priced = claim.model is not None or (claim.input_mtok is not None and claim.output_mtok is not None)
    if claim.kind == "api" and not priced:
        yield "`model`, or `input_mtok` and `output_mtok`"
    if claim.kind in ("api", "rate") and claim.tokens_per_day is None:
        yield "`tokens_per_day`"
    if claim.kind in ("gpus", "crossover") and (claim.gpus is None or claim.gpu_usd_per_hour is None):
        yield "`gpus` and `gpu_usd_per_hour`"
    if claim.kind == "crossover" and claim.output_mtok is None:
        yield "`output_mtok`, the price that it is compared with"
    if claim.kind == "blend" and not claim.parts:
        yield "`parts`"
    if claim.kind == "rate" and claim.of is None:
        yield "`of`, the claim to compare with"
    if claim.kind == "queries" and (claim.queries_per_month is None or claim.usd_per_query is None):
        yield "`queries_per_month` and `usd_per_query`"


HOURS_PER_MONTH = 730.0


def audit(file: ClaimsFile, rates_for: RatesFor) -> list[Finding]:
    """A finding for each claim. A claim whose model nobody prices says so and does not hold."""
    own = {name: _cost(claim, rates_for) for name, claim in file.claims.items()}
    return [_finding(name, claim, file, own) for name, claim in file.claims.items()]


def _cost(claim: Claim, rates_for: RatesFor) -> tuple[float | None, str]:
    """(USD a month from the claim's own inputs, how), or None where it needs other claims or a price nobody knows."""
    if claim.kind == "gpus" and claim.gpus is not None and claim.gpu_usd_per_hour is not None:
        usd = claim.gpus * claim.gpu_usd_per_hour.value * HOURS_PER_MONTH
        return usd, f"{claim.gpus} x {claim.gpu_usd_per_hour.value:g} USD x {HOURS_PER_MONTH:g} h; no people, no spare"
    if claim.kind == "queries" and claim.queries_per_month is not None and claim.usd_per_query is not None:
        return claim.queries_per_month.value * claim.usd_per_query.value, "calls x price"
    if claim.kind != "api" or claim.tokens_per_day is None:
        return None, ""
    prices = _per_mtok(claim, rates_for)
    if prices is None:
        return (
            None,
            f"{claim.provider or ''}/{claim.model} is not in the price catalogue: add `input_mtok`, `output_mtok`",
        )
    share = claim.input_share.value if claim.input_share is not None else 0.75
    each = prices[0] * share + prices[1] * (1 - share)
    usd = claim.tokens_per_day.value * claim.days.value / 1e6 * each
    return usd, f"{prices[0]:g}/{prices[1]:g} USD a million at {share:.0%} input, {claim.days.value:g} days"


def _per_mtok(claim: Claim, rates_for: RatesFor) -> tuple[float, float] | None:
    if claim.input_mtok is not None and claim.output_mtok is not None:
        return claim.input_mtok.value, claim.output_mtok.value
    found = rates_for(claim.provider or "openai", claim.model or "")
    return (found.tokens_in / 1e6, found.tokens_out / 1e6) if found is not None and found.priced else None


def _finding(name: str, claim: Claim, file: ClaimsFile, own: dict[str, tuple[float | None, str]]) -> Finding:
    usd, how = own[name]
    notes = [how] if how else []
    if claim.kind == "blend":
        usd, more = _blend(claim, file)
        notes += more
    elif claim.kind == "rate":
        usd, more = _rate(claim, file)
        notes += more
    elif claim.kind == "crossover" and claim.gpus and claim.gpu_usd_per_hour and claim.output_mtok:
        monthly = claim.gpus * claim.gpu_usd_per_hour.value * HOURS_PER_MONTH
        usd = monthly / claim.days.value / claim.output_mtok.value * 1e6
        notes.append(f"{monthly:,.0f} USD a month of GPUs against {claim.output_mtok.value:g} USD a million tokens")
        notes.append("no people, no spare, no limit of capacity; like for like only if both reach the same quality")
    if usd is None:
        return Finding(name, claim.claimed.value, 0.0, 0.0, False, tuple(notes or ["nothing to compute it from"]))
    ratio = claim.claimed.value / usd if usd > 0 else float("inf")
    return Finding(name, claim.claimed.value, usd, ratio, abs(ratio - 1) <= TOLERANCE, tuple(notes))


def _blend(claim: Claim, file: ClaimsFile) -> tuple[float, list[str]]:
    """Parts at the claims' own stated costs, so that a table is held to itself; and the share that makes it true."""
    costs = [(part, file.claims[part.claim].claimed.value) for part in claim.parts]
    usd = sum(cost if part.keeps_cost else cost * part.share.value for part, cost in costs)
    notes = [" + ".join(f"{part.share.value:.0%} at {part.claim}" for part in claim.parts)]
    whole = sum(part.share.value for part in claim.parts if not part.keeps_cost)
    kept = sum(cost for part, cost in costs if part.keeps_cost)
    moving = [(part, cost) for part, cost in costs if not part.keeps_cost]
    if len(moving) == 1 and moving[0][1] > 0:
        needed = (claim.claimed.value - kept) / moving[0][1]
        notes.append(f"{claim.claimed.value:,.0f} needs {needed:.1%} at {moving[0][0].claim}, not {whole:.0%}")
    elif len(moving) == 2:
        (first, low), (second, high) = sorted(moving, key=lambda each: each[1])
        if high > low:
            needed = (claim.claimed.value - low) / (high - low)
            notes.append(
                f"{claim.claimed.value:,.0f} needs {needed:.1%} at {second.claim}, not {second.share.value:.0%}"
            )
        del first
    return usd, notes


def _rate(claim: Claim, file: ClaimsFile) -> tuple[float | None, list[str]]:
    """The same model elsewhere in the table implies a price a million tokens; this claim implies another."""
    other = file.claims[claim.of or ""]
    if other.tokens_per_day is None or claim.tokens_per_day is None or not other.tokens_per_day.value > 0:
        return None, [f"{claim.of} does not say for how many tokens it is"]
    usd = other.claimed.value * claim.tokens_per_day.value / other.tokens_per_day.value
    mtok = claim.tokens_per_day.value * claim.days.value / 1e6
    implied = claim.claimed.value / mtok
    there = other.claimed.value / (other.tokens_per_day.value * other.days.value / 1e6)
    return usd, [f"implies {implied:,.2f} USD a million tokens, and {claim.of} implies {there:,.2f}"]
