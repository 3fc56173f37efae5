"""Faults by script: their names, their grammar, and the book that decides which request meets which.

A fault is written `name`, `name@argument` or `name@argument;limit`, as a suffix of the model name
(`sim-small!reset_mid@40;once`; several in a row: `sim-small!ttft@2s!reset_mid@40`) or booked through
`Simulator.fault` or `POST /sim/faults`. A bare status is a name too: `sim-small!503`, `sim-small!429@2`. Limits:
`once`, `n=3` (the first three matching requests), `for=60` (for 60 s from the first), `nth=2` (from the second on).
Times are seconds (`2`, `0.5`, `2s`) or `250ms`. An unknown fault is a 400 that lists the known ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

import msgspec

from signalbox.simulator.fault_kinds import KINDS, Context
from signalbox.simulator.model import Answer, Ask, Refusal, Tokens
from signalbox.simulator.openai_chat import CHAT
from signalbox.simulator.plan import Plan

__all__ = ["KINDS", "Context", "FaultBook", "Rule", "claimed", "context_exceeded", "diverge"]

_RULES_MAX = 1_000
# A booked fault is tried on this first, so that a wrong argument is told at once and not at its first request.
_TRIAL = Context(Ask("chat", "", 0), b"", CHAT, 1)
_SUFFIXES_MAX = 10_000


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """A booked fault. It strikes matching requests from the nth on, `count` of them, for `for_s` from the first."""

    fault: str
    provider: str | None = None
    model: str | None = None
    endpoint: str | None = None
    body_contains: str | None = None
    body_sha256: str | None = None
    nth: int = 1
    count: int | None = None
    for_s: float | None = None
    id: int = 0
    seen: int = 0
    struck: int = 0
    first_s: float = math.nan

    def matches(self, provider: str, model: str, context: Context) -> bool:
        if self.provider not in (None, provider) or self.model not in (None, model):
            return False
        if self.endpoint not in (None, context.ask.endpoint):
            return False
        if self.body_contains is not None and self.body_contains.encode() not in context.body:
            return False
        return self.body_sha256 is None or hashlib.sha256(context.body).hexdigest().startswith(self.body_sha256)

    def strikes(self, now_s: float) -> bool:
        """Counts one matching request, and says whether this one is struck."""
        self.seen += 1
        if self.seen < self.nth:
            return False
        if math.isnan(self.first_s):
            self.first_s = now_s
        if self.for_s is not None and now_s - self.first_s >= self.for_s:
            return False
        if self.count is not None and self.struck >= self.count:
            return False
        self.struck += 1
        return True


def parse(spec: str) -> Rule:
    """Raises Refusal (400) for an unknown fault or a malformed argument."""
    effect, *limits = spec.split(";")
    rule = Rule(fault=effect)
    for limit in limits:
        key, _, value = limit.partition("=")
        if key == "once" and not value:
            rule.count = 1
        elif key == "n" and value.isdigit():
            rule.count = int(value)
        elif key == "nth" and value.isdigit():
            rule.nth = int(value)
        elif key == "for" and value.replace(".", "", 1).isdigit():
            rule.for_s = float(value)
        else:
            raise Refusal(400, "invalid_fault", f"unknown limit {limit!r}; use once, n=3, nth=2 or for=60")
    return rule


class FaultBook:
    """Booked rules, and the counters of faults told by suffix. Both bounded."""

    def __init__(self) -> None:
        self.rules: dict[int, Rule] = {}
        self._suffixes: dict[tuple[str, str, str], Rule] = {}
        self._next_id = 0

    def add(self, rule: Rule) -> int:
        if len(self.rules) >= _RULES_MAX:
            raise Refusal(400, "too_many_faults", f"at most {_RULES_MAX} faults may be booked")
        told = parse(rule.fault)
        _check(told.fault)
        _apply(Plan(), told.fault, _TRIAL)
        rule.fault = told.fault
        rule.nth = max(rule.nth, told.nth)
        rule.count = told.count if rule.count is None else rule.count
        rule.for_s = told.for_s if rule.for_s is None else rule.for_s
        rule.seen = rule.struck = 0
        rule.first_s = math.nan
        self._next_id += 1
        rule.id = self._next_id
        self.rules[rule.id] = rule
        return rule.id

    def remove(self, rule_id: int) -> bool:
        return self.rules.pop(rule_id, None) is not None

    def clear(self) -> None:
        self.rules.clear()
        self._suffixes.clear()

    def plan(self, provider: str, model: str, suffix: str, context: Context, now_s: float) -> Plan:
        plan = Plan()
        for spec in suffix.split("!") if suffix else ():
            rule = self._suffix_rule(provider, model, spec)
            if rule.strikes(now_s):
                _apply(plan, rule.fault, context)
        for rule in self.rules.values():
            if rule.matches(provider, model, context) and rule.strikes(now_s):
                _apply(plan, rule.fault, context)
        return plan

    def _suffix_rule(self, provider: str, model: str, spec: str) -> Rule:
        key = (provider, model, spec)
        rule = self._suffixes.get(key)
        if rule is None:
            rule = parse(spec)
            _check(rule.fault)
            if len(self._suffixes) >= _SUFFIXES_MAX:
                self._suffixes.pop(next(iter(self._suffixes)))
            self._suffixes[key] = rule
        return rule


def _split(effect: str) -> tuple[str, str]:
    name, _, argument = effect.partition("@")
    if name.isdigit() and len(name) == 3:
        return "status", f"{name}/{argument}" if argument else name
    return name, argument


def _check(effect: str) -> None:
    name, _ = _split(effect)
    if name not in KINDS:
        known = ", ".join(sorted(KINDS))
        raise Refusal(400, "invalid_fault", f"unknown fault {name[:80]!r}; known: {known}, or a status such as 503")


def _apply(plan: Plan, effect: str, context: Context) -> None:
    name, argument = _split(effect)
    try:
        struck = KINDS[name](plan, argument, context)
    except ValueError:
        raise Refusal(400, "invalid_fault", f"fault {name} cannot take {argument[:80]!r}") from None
    if struck:
        plan.faults.append(effect)


def claimed(plan: Plan, used: Tokens) -> Tokens | None:
    """The usage that the answer tells, which need not be what is billed."""
    if plan.usage == "none":
        return None
    if plan.usage == "zero":
        return Tokens()
    if plan.usage == "wrong":
        return msgspec.structs.replace(
            used,
            tokens_in=max(0, used.tokens_in + plan.usage_add),
            tokens_out=max(0, used.tokens_out + plan.usage_add),
        )
    return used


def diverge(plan: Plan, answer: Answer) -> None:
    """Swaps the case of every token of a text or of a tool's arguments from the planned one on; their number stays."""
    if plan.diverge_at < 0:
        return
    for choice in answer.choices:
        for part in choice.parts:
            if part.kind in ("text", "tool"):
                kept = part.tokens[: plan.diverge_at]
                part.tokens = kept + [token.swapcase() for token in part.tokens[plan.diverge_at :]]


def context_exceeded(ask: Ask, limit: int) -> Refusal:
    if ask.endpoint in ("messages", "count_tokens"):
        message = f"prompt is too long: {ask.tokens_in} tokens > {limit} maximum"
    else:
        message = (
            f"This model's maximum context length is {limit} tokens. However, your messages resulted in "
            f"{ask.tokens_in} tokens. Please reduce the length of the messages."
        )
    return Refusal(400, "context_length_exceeded", message, "messages")


def catalogue() -> Mapping[str, str]:
    """Each fault's name and the sentence that explains it."""
    return {name: " ".join((kind.__doc__ or "").split()) for name, kind in KINDS.items()}
