"""The judge that ships with the drill agrees with the oracle of the tests, which is written in another way."""

from __future__ import annotations

import json
from random import Random

from proof.oracle import Facts, Oracle, Place
from proof.worlds import CallMaker, callers, configuration, today
from signalbox.control.drill_config import rehearse
from signalbox.control.drill_judge import Case, Judge

WORLDS, CALLS = 150, 20
PROTOCOLS = ("openai", "anthropic", "openai", "openai", "anthropic")


def test_the_judge_agrees_with_the_oracle() -> None:
    permitted = asked = 0
    for number in range(WORLDS):
        rng = Random(f"judge-{number}")
        addresses = [(f"http://127.0.0.1:{20_000 + i}", protocol) for i, protocol in enumerate(PROTOCOLS)]
        doc = configuration(rng, addresses)
        who = callers(rng, doc)
        text = json.dumps(doc)
        day = today().isoformat()
        oracle = Oracle(text, day)
        ready = rehearse(text.encode(), "f", {f"dep{i}": address for i, (address, _) in enumerate(addresses)})
        judge = Judge(ready.doc, ready.abilities, day)
        maker = CallMaker(rng, doc, len(who), str(number))
        for _ in range(CALLS):
            sent = maker.make()
            caller = who[sent.caller]
            place = oracle.resolve(caller, sent.facts)
            if place is None:
                continue
            labels = oracle.labels(place, caller, sent.facts)
            case = case_of(sent.facts, place, labels, caller.tenant, caller.team)
            expected = oracle.permitted(place, caller, sent.facts, labels)
            assert set(judge.permitted(case)) == expected, case
            assert {name for name in expected if judge.able(case, name)} == oracle.able(sent.facts, expected)
            assert judge.attempts_max(place.workload) == oracle.attempts_max(place)
            asked += 1
            permitted += bool(expected)
    assert asked / 5 < permitted < asked * 9 / 10


def case_of(facts: Facts, place: Place, labels: set[str], tenant: str, team: str) -> Case:
    return Case(
        workload=place.workload,
        api=facts.api,
        labels=frozenset(labels),
        tenant=tenant,
        team=team,
        pinned=place.pinned,
        onward=facts.onward,
        unknown_tool=facts.unknown_tool,
        opaque=facts.opaque,
        tools=facts.tools,
    )
