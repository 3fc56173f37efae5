"""Compiled rules against the oracle of proof/oracle.py: a naive reading of the file that shares no code with them."""

from __future__ import annotations

import json
from datetime import date
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from proof.oracle import Oracle, operator
from signalbox.config.load import load_text
from signalbox.core.call import Principal
from signalbox.core.labels import Labels, labels_of
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Rates
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.rules import Callers, permitted, refusals

TODAY = "2026-06-15"
APIS = ["chat", "responses", "messages", "completions", "embeddings", "count_tokens"]
LEVELS = ["public", "internal", "confidential", "restricted"]
TAGS = ["personal", "phi", "source-code", "pci", "opaque", "pci-sad", "government"]
KINDS = ["cloud", "private-cloud", "on-prem", "edge"]
REGIONS = ["eu", "eu/de", "eu/de/fra", "eu/fr", "us", "us/ca", "asia", "eur"]
ATTESTS = ["baa", "dpa", "soc2"]
PACK_ATTESTS = ["scc", "transfer-assessment", "dpf", "onward-terms", "dora-register", "dora-contract", "dfars-7012"]
OPERATORS = ["OpenAI", "Microsoft", "self"]
REGULATIONS = ["gdpr", "hipaa", "dora", "pdpl-uae"]
PACKS = ["gdpr", "hipaa", "pci-dss", "dora", "fedramp", "pdpl-uae", "sr-11-7"]
TEAMS = ["blue", "red"]
TENANTS = ["acme", "other"]
GUARDS = ["", "pseudonymise", "another-guard"]


# --- random files ---


def some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


ATTESTATION = st.one_of(
    st.sampled_from(ATTESTS + PACK_ATTESTS),
    st.fixed_dictionaries(
        {"name": st.sampled_from(ATTESTS + PACK_ATTESTS)},
        optional={
            "until": st.sampled_from(["2026-06-14", "2026-06-15", "2026-06-16", "2024-02-29"]),
            "covers": st.lists(st.sampled_from(APIS), max_size=4, unique=True),
        },
    ),
)
ENVIRONMENT = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS)},
    optional={
        "region": st.sampled_from(REGIONS),
        "storage_region": st.sampled_from(REGIONS),
        "jurisdiction": st.sampled_from(REGIONS),
        "operator": st.sampled_from(["openai", "Microsoft", "Self"]),
        "attests": st.lists(ATTESTATION, max_size=5),
    },
)
VENDOR = st.fixed_dictionaries({"attests": st.lists(ATTESTATION, min_size=1, max_size=4)})
FACTS = {
    "kind": some(KINDS),
    "region": some(REGIONS),
    "storage_region": some(REGIONS),
    "jurisdiction": some(REGIONS),
    "operator": some(OPERATORS),
    "attests": some(ATTESTS),
}
# Mostly one fact at a time: several together are nearly always false, and would find nothing.
FACT = st.one_of(*(st.fixed_dictionaries({key: value}) for key, value in FACTS.items()))
PREDICATE = st.recursive(
    st.one_of(FACT, FACT, st.tuples(FACT, FACT).map(lambda pair: {**pair[0], **pair[1]})),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"not": inner}),
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
        st.tuples(FACT, inner).map(lambda pair: {**pair[0], "not": pair[1]}),
    ),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    environments = {f"env{i}": draw(ENVIRONMENT) for i in range(draw(st.integers(1, 4)))}
    deployments = {
        f"dep{i}": {
            "environment": draw(st.sampled_from(sorted(environments))),
            "protocol": "openai",
            "base_url": "http://127.0.0.1:9/v1",
            "model": "m",
            "capabilities": {"apis": draw(some(APIS))},
        }
        for i in range(draw(st.integers(1, 5)))
    }
    names = sorted(deployments)
    workload = optional(
        data=some([*LEVELS, *TAGS]),
        regulations=some(REGULATIONS),
        placements=st.lists(st.sampled_from(names), max_size=3, unique=True),
    )
    workloads = {f"work{i}": draw(workload) for i in range(draw(st.integers(1, 3)))}
    when = optional(
        data=some(TAGS),
        level=st.sampled_from(LEVELS),
        regulations=some(REGULATIONS),
        workloads=some(sorted(workloads)),
        teams=some(TEAMS),
        tenants=some(TENANTS),
    )
    transform = st.one_of(
        st.just("pseudonymise"), st.fixed_dictionaries({"guard": st.just("pseudonymise"), "allow": PREDICATE})
    )
    rules = [
        {
            "id": f"rule{i}",
            "allow": draw(PREDICATE),
            **draw(
                optional(
                    when=when,
                    onward=st.one_of(st.sampled_from(["allow", "deny"]), PREDICATE),
                    transform=transform,
                )
            ),
        }
        for i in range(draw(st.integers(0, 5)))
    ]
    vendors = draw(st.dictionaries(st.sampled_from(["OPENAI", "microsoft", "self"]), VENDOR, max_size=2))
    for vendor, about in vendors.items():
        about["attests"] = [draw(st.just(entry) | limited(entry, vendor, environments)) for entry in about["attests"]]
    return {
        "packs": draw(st.lists(st.sampled_from(PACKS), max_size=3, unique=True)),
        "environments": environments,
        "vendors": vendors,
        "deployments": deployments,
        "workloads": workloads,
        "teams": {team: {} for team in TEAMS},
        "rules": rules,
    }


def limited(entry: Any, vendor: str, environments: dict[str, Any]) -> st.SearchStrategy[Any]:
    """An entry of the register for some of the operator's environments only."""
    mine = [name for name, each in environments.items() if (operator(each) or "").lower() == vendor.lower()]
    if not mine:
        return st.just(entry)
    plain = {"name": entry} if isinstance(entry, str) else entry
    return st.sampled_from(mine).map(lambda name: {**plain, "environments": [name]})


def unpriced(provider: str, model: str, on: date) -> Rates | None:
    return None


def compiled(text: str) -> Snapshot:
    return compile_snapshot(load_text(text, "oracle.yaml", {}), 1, TODAY, unpriced)


LABEL_NAMES = st.sets(st.sampled_from([*LEVELS, *TAGS]), max_size=3)


QUESTION = st.tuples(
    LABEL_NAMES,
    st.sampled_from(["", *TENANTS, "nobody"]),
    st.sampled_from(["", *TEAMS, "none"]),
    st.sampled_from(GUARDS),
)


@settings(max_examples=100, deadline=None)
@given(documents(), st.lists(QUESTION, min_size=4, max_size=4))
def test_bitsets_agree_with_a_naive_reading(
    doc: dict[str, Any], questions: list[tuple[set[str], str, str, str]]
) -> None:
    """Every workload, deployment, API and both kinds of call of one file, for a few labels, callers and guards."""
    text = json.dumps(doc)
    snapshot, oracle = compiled(text), Oracle(text, TODAY)
    callers = Callers(snapshot)
    for question, api, onward, name in product(questions, APIS, (False, True), oracle.doc["workloads"]):
        names, tenant, team, guard = question
        caller = callers.of(Principal("k", tenant, team, None, frozenset()))
        workload, labels = snapshot.workloads[name], labels_of(names)
        bits = permitted(snapshot, workload, labels, onward, api, caller=caller, guard=guard)
        reasons = refusals(snapshot, workload, labels, onward, api, caller=caller, guard=guard)
        for deployment in snapshot.deployments:
            expected = oracle.refusing(deployment.name, name, names, onward, api, tenant, team, guard)
            assert bool(bits >> deployment.index & 1) == (not expected), deployment.name
            assert [rule for rule, _ in reasons.get(deployment.name, [])] == expected
        assert bits >> len(snapshot.deployments) == 0


@settings(max_examples=60, deadline=None)
@given(documents(), LABEL_NAMES, LABEL_NAMES, st.sampled_from(APIS))
def test_a_raised_label_or_an_onward_transfer_never_opens_a_way(
    doc: dict[str, Any], names: set[str], more: set[str], api: str
) -> None:
    snapshot = compiled(json.dumps(doc))
    low: Labels = labels_of(names)
    high = low | labels_of(more)
    for workload, onward in product(snapshot.workloads.values(), (False, True)):
        raised, plain = (permitted(snapshot, workload, labels, onward, api) for labels in (high, low))
        assert raised & ~plain == 0
        assert permitted(snapshot, workload, low, True, api) & ~permitted(snapshot, workload, low, False, api) == 0
        # A guard's work can only add ways, and content that nothing transformed has none of them.
        assert plain & ~permitted(snapshot, workload, low, onward, api, guard="pseudonymise") == 0
        assert permitted(snapshot, workload, low, onward, api, guard="unknown") == plain


@settings(max_examples=60, deadline=None)
@given(documents(), st.sampled_from(APIS), LABEL_NAMES)
def test_facts_that_are_taken_away_never_open_a_way(doc: dict[str, Any], api: str, names: set[str]) -> None:
    """Fail closed: an operator who forgets a region, an operator or a contract loses placements, never gains one."""
    stripped = json.loads(json.dumps(doc))
    for environment in stripped["environments"].values():
        for fact in ("region", "storage_region", "jurisdiction", "operator", "attests"):
            if environment["kind"] in ("cloud", "private-cloud") or fact != "operator":
                environment.pop(fact, None)
    stripped["vendors"] = {}
    if any(_negates_attests(rule) for rule in doc["rules"]):
        return  # a rule that wants a contract to be absent is satisfied by its absence
    before, after = compiled(json.dumps(doc)), compiled(json.dumps(stripped))
    for name, workload in before.workloads.items():
        labels = labels_of(names)
        was = permitted(before, workload, labels, False, api)
        assert permitted(after, after.workloads[name], labels, False, api) & ~was == 0


def _negates_attests(rule: dict[str, Any]) -> bool:
    return '"not"' in json.dumps(rule) and "attests" in json.dumps(rule)
