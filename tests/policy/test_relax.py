"""The smallest change that would open a placement, against trying every change on the file itself."""

from __future__ import annotations

import json
from datetime import date
from itertools import combinations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.config.declared import Declared
from signalbox.config.load import load_text
from signalbox.core.labels import labels_of
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Rates
from signalbox.policy.check import check
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.relax import Relaxation, relaxation
from signalbox.policy.rules import permitted

TODAY = "2026-06-15"
ATTESTS = ["baa", "dpa", "scc", "soc2"]


def unpriced(provider: str, model: str, on: date) -> Rates | None:
    return None


def compiled(doc: dict[str, Any]) -> tuple[Declared, Snapshot]:
    declared = load_text(json.dumps(doc), "f", {})
    return declared, compile_snapshot(declared, 1, TODAY, unpriced)


def file(environments: dict[str, Any], rules: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {
        "environments": environments,
        "deployments": {
            f"in-{name}": {
                "environment": name,
                "protocol": "openai",
                "base_url": "http://127.0.0.1:9/v1",
                "model": "m",
                "price": "free",
                "capabilities": {"apis": ["chat"]},
            }
            for name in environments
        },
        "workloads": {"w": {}},
        "rules": rules,
        **more,
    }


def relaxed(doc: dict[str, Any], data: tuple[str, ...] = (), onward: bool = False) -> Relaxation:
    declared, snapshot = compiled(doc)
    return relaxation(declared.config, snapshot, snapshot.workloads["w"], labels_of(data), onward, "chat")


def opens(doc: dict[str, Any], onward: bool = False) -> bool:
    _, snapshot = compiled(doc)
    return permitted(snapshot, snapshot.workloads["w"], labels_of([]), onward, "chat") != 0


def test_one_missing_contract_is_found_and_so_is_the_rule_that_wants_it() -> None:
    doc = file(
        {"cloud": {"kind": "cloud", "region": "eu"}, "other": {"kind": "cloud", "region": "us"}},
        [
            {"id": "baa", "allow": {"any": [{"attests": ["baa"]}, {"kind": ["on-prem"]}]}},
            {"id": "stays", "allow": {"region": ["eu"]}},
        ],
    )
    found = relaxed(doc)
    assert [(way.deployment, way.change) for way in found.rules] == [("in-cloud", ("baa",))]
    assert [(way.environment, way.change) for way in found.facts] == [("cloud", ("attests baa",))]
    assert found.exact
    declared, snapshot = compiled(doc)
    first = check(declared, snapshot)[0]
    assert first.level == "error"
    assert first.message.endswith(
        "The smallest changes: environment 'cloud' with attests baa opens 'in-cloud'; giving up rule 'baa' opens"
        " 'in-cloud'."
    )


def test_facts_that_nobody_stated_are_candidates_and_stated_ones_are_not() -> None:
    rules = [{"id": "stays", "allow": {"region": ["eu"], "jurisdiction": ["eu"], "attests": ["dpa"]}}]
    found = relaxed(file({"somewhere": {"kind": "cloud"}}, rules))
    assert [way.change for way in found.facts] == [("attests dpa", "region eu", "jurisdiction eu")]
    assert relaxed(file({"elsewhere": {"kind": "cloud", "region": "us"}}, rules)).facts == ()


def test_the_workload_s_own_list_counts_as_one_thing_to_give_up() -> None:
    doc = file(
        {"a": {"kind": "cloud"}, "b": {"kind": "edge"}},
        [{"id": "one", "allow": {"kind": ["edge"]}}, {"id": "two", "allow": {"kind": ["edge"]}}],
        workloads={"w": {"placements": ["in-a"]}},
    )
    found = relaxed(doc)
    assert [(way.deployment, way.change) for way in found.rules] == [("in-b", ("placements",))]
    assert found.facts == ()
    assert found.sentence() == "The smallest changes: giving up its own placements opens 'in-b'."


def test_no_fact_undoes_a_rule_that_lets_nothing_go_further() -> None:
    doc = file({"a": {"kind": "cloud"}}, [{"id": "only", "allow": {"attests": ["baa"]}}])
    assert relaxed(doc, onward=True).facts == ()
    doc["rules"][0]["onward"] = {"attests": ["onward-terms"]}
    assert [way.change for way in relaxed(doc, onward=True).facts] == [("attests baa", "attests onward-terms")]


def test_nothing_is_searched_where_something_is_permitted() -> None:
    doc = file({"a": {"kind": "cloud"}, "b": {"kind": "edge"}}, [{"id": "one", "allow": {"kind": ["edge"]}}])
    assert relaxed(doc) == Relaxation((), ())
    assert relaxed(doc).sentence() == ""


def test_a_search_that_cannot_be_whole_says_so_and_ends() -> None:
    """Forty candidates, of which a few are tried; then too many trials, since `not` forbids to skip any."""
    places = {f"e{i}": {"kind": "cloud"} for i in range(60)}
    many = {"attests": [f"a{i}" for i in range(40)]}
    found = relaxed(file(places, [{"id": "all", "allow": many}]))
    assert (found.facts, found.exact) == ((), False)
    assert len(found.rules) == 5
    few = {"attests": [f"a{i}" for i in range(12)], "not": {"kind": ["edge"]}}
    found = relaxed(file(places, [{"id": "all", "allow": few}]))
    assert (found.facts, found.exact) == ((), False)


PREDICATE = st.recursive(
    st.fixed_dictionaries({"attests": st.lists(st.sampled_from(ATTESTS), min_size=1, max_size=2, unique=True)}),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not": inner}),
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(PREDICATE, min_size=1, max_size=3),
    st.lists(st.lists(st.sampled_from(ATTESTS), max_size=2, unique=True), min_size=1, max_size=3),
)
def test_what_is_found_opens_a_way_and_nothing_smaller_does(predicates: list[Any], held: list[list[str]]) -> None:
    """Every set of rules and of attestations is tried on the file, smallest first."""
    doc = file(
        {f"e{i}": {"kind": "cloud", "attests": names} for i, names in enumerate(held)},
        [{"id": f"r{i}", "allow": predicate} for i, predicate in enumerate(predicates)],
    )
    found = relaxed(doc)
    if opens(doc):
        assert found == Relaxation((), ())
        return
    sizes = [
        size
        for size in range(1, len(predicates) + 1)
        for gone in combinations(doc["rules"], size)
        if opens({**doc, "rules": [rule for rule in doc["rules"] if rule not in gone]})
    ]
    assert {len(way.change) for way in found.rules} == {min(sizes)}
    for way in found.rules:
        assert opens({**doc, "rules": [rule for rule in doc["rules"] if rule["id"] not in way.change]})

    def stated(name: str, more: tuple[str, ...]) -> dict[str, Any]:
        place = doc["environments"][name]
        return {**doc, "environments": {**doc["environments"], name: {**place, "attests": [*place["attests"], *more]}}}

    smallest = next(
        (
            size
            for size in (1, 2, 3)
            if any(opens(stated(name, more)) for name in doc["environments"] for more in combinations(ATTESTS, size))
        ),
        None,
    )
    assert ({len(way.change) for way in found.facts} or {None}) == {smallest}
    for way in found.facts:
        assert opens(stated(way.environment, tuple(fact.removeprefix("attests ") for fact in way.change)))
