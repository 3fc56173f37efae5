"""Nothing escapes: a seeded slice of the run of benchmarks/proof.py, and whether that run could have found anything."""

from __future__ import annotations

import pytest

from proof.inprocess import Report, prove
from proof.memory import Memory, beyond, within
from proof.oracle import Caller, Facts, Oracle, Place

ATTEMPTS = 6_000


async def test_every_attempt_that_leaves_was_permitted_and_every_refusal_was_due() -> None:
    report = await prove(ATTEMPTS, seed=20260615)
    assert report.good, "\n".join(report.findings)
    assert report.attempts >= ATTEMPTS
    assert_varied(report)


def assert_varied(report: Report) -> None:
    """A run in which everything is refused, or everything permitted, proves nothing."""
    assert report.statuses[200] > report.calls / 20
    assert report.statuses[400] > report.calls / 20
    assert report.statuses[503] > report.calls / 50
    assert report.statuses[404] > report.calls / 100
    assert report.attempts > report.calls / 2


# --- the oracle by hand: the few answers that everybody can check ---

TEXT = """
environments:
  here: {kind: on-prem, region: eu/de}
  there: {kind: cloud, region: eur, operator: Acme, attests: [{name: baa, until: 2026-06-14}, zero-retention]}
deployments:
  near: {environment: here, protocol: openai, model: m}
  far: {environment: there, protocol: openai, model: m, capabilities: {apis: [responses]}}
workloads:
  chat: {}
  claims: {data: [phi], placements: [far, near]}
aliases: {gpt-4: claims, far-away: far}
rules:
  - {id: stays, when: {data: [phi]}, allow: {any: [{region: [eu]}, {attests: [baa]}]}}
  - {id: no-search, allow: {not: {region: [asia]}}}
"""
ANYBODY = Caller()


@pytest.mark.parametrize(
    ("facts", "names", "expected"),
    [
        (Facts("chat", "chat"), set(), {"near", "far"}),
        # Neither is `eur` in `eu`, nor does an attestation count that ended yesterday.
        (Facts("chat", "claims"), {"phi"}, {"near"}),
        (Facts("chat", "gpt-4"), {"phi"}, {"near"}),
        (Facts("chat", "chat", header=("phi",)), {"phi"}, {"near"}),
        # Onward transfers are refused unless a rule lets them; being told not to store undoes one, and so does a
        # translation, which has no word for it.
        (Facts("responses", "chat", onward=("web_search",)), set(), set()),
        (Facts("responses", "chat", onward=("store",)), set(), {"near", "far"}),
        (Facts("chat", "chat", onward=("store",)), set(), {"far"}),
        (Facts("chat", "chat", unknown_tool=True), set(), {"near", "far"}),
        (Facts("chat", "chat", unknown_tool=True), {"personal"}, set()),
    ],
)
def test_what_the_oracle_permits(facts: Facts, names: set[str], expected: set[str]) -> None:
    oracle = Oracle(TEXT, "2026-06-15")
    place = oracle.resolve(ANYBODY, facts)
    assert place is not None
    assert oracle.permitted(place, ANYBODY, facts, oracle.labels(place, ANYBODY, facts) | names) == expected


@pytest.mark.parametrize(
    ("caller", "facts", "expected"),
    [
        (Caller(), Facts("chat", "auto"), Place("chat")),
        (Caller(), Facts("chat", "gpt-4"), Place("claims")),
        (Caller(), Facts("chat", "far"), None),
        (Caller(deployments=("far",)), Facts("chat", "far-away"), Place("chat", "far")),
        (Caller(deployments=("*",), workloads=("claims",)), Facts("chat", "far"), Place("claims", "far")),
        (Caller(workloads=("claims",)), Facts("chat", "chat"), None),
        (Caller(), Facts("chat", "anything", workload_header="claims"), Place("claims")),
        (Caller(), Facts("chat", "chat", workload_header="claims"), None),
    ],
)
def test_what_the_oracle_resolves(caller: Caller, facts: Facts, expected: Place | None) -> None:
    assert Oracle(TEXT, "2026-06-15").resolve(caller, facts) == expected


def test_what_is_expected_of_conversations() -> None:
    assert beyond({"internal", "phi"}, {"phi"}) == set()
    assert beyond({"phi"}, {"personal"}) == {"phi", "restricted"}
    assert within({"phi", "restricted"}, {"phi"})
    assert not within({"phi"}, {"restricted"})
    assert Memory().must == {}
