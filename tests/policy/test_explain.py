"""What `signalbox explain` tells is what the gateway would do; nothing of a request's text is in it."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.bootstrap.compiling import explainer_for
from signalbox.config.load import load_text
from signalbox.control.explain import PLACES_MAX, Explanation, Question
from signalbox.core.errors import CallError

CONFIG = """
environments:
  us: {kind: cloud, region: us, operator: Vendor}
  home: {kind: on-prem, region: eu/de}
deployments:
  cloud: {environment: us, preset: openai, model: a, api_key: x}
  claude: {environment: us, preset: anthropic, model: c, api_key: x}
  home: {environment: home, preset: vllm, model: b, base_url: "http://127.0.0.1:2/v1"}
workloads:
  w: {placements: [cloud, home]}
  clouds: {placements: [cloud, claude]}
  words: {placements: [claude]}
  masked: {placements: [cloud, home], guards: [pseudonymise]}
rules:
  - {id: people, when: {data: [personal], workloads: [masked]}, allow: {kind: [on-prem]}, transform: pseudonymise}
  - {id: cards, when: {data: [pci]}, allow: {kind: [on-prem]}, source: PCI DSS 3.5.1}
  - {id: team-rule, when: {teams: [blue]}, allow: {kind: [on-prem]}, source: contract 7}
teams: {blue: {}}
"""
CARD = "4111 1111 1111 1111"


def explain(request: dict[str, Any] | bytes, **more: Any) -> Explanation:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    return explainer_for(load_text(CONFIG.encode(), "x.yaml")).explain(Question(request=msgspec.Raw(raw), **more))


def says(text: str, model: str = "w", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def test_an_ordinary_request_goes_where_it_is_first_placed() -> None:
    told = explain(says("Hello."))
    assert (told.verdict, [choice.deployment for choice in told.choices]) == ("permitted", ["cloud", "home"])
    assert (told.labels, told.findings, told.refused[0].deployment) == (("public",), (), "claude")
    assert told.refused[0].reasons[0].rule == "placements"


def test_a_finding_has_kind_place_and_label_and_no_value() -> None:
    told = explain(says(f"Pay with {CARD}, please"))
    (found,) = told.findings
    assert (found.kind, found.label, found.at, found.raises) == ("cards/visa", "pci", "/messages/0/content", True)
    assert (found.start, found.end) == (9, 9 + len(CARD))
    assert [choice.deployment for choice in told.choices] == ["home"]
    refused = {one.deployment: [(reason.rule, reason.source) for reason in one.reasons] for one in told.refused}
    assert refused["cloud"] == [("cards", "PCI DSS 3.5.1")]
    assert b"4111" not in msgspec.json.encode(told)


def test_when_nothing_is_permitted_it_names_the_smallest_change() -> None:
    told = explain(says(f"Pay with {CARD}", "clouds"))
    assert (told.verdict, told.choices, told.permitted) == ("no_permitted_placement", (), ())
    assert told.relaxation is not None
    assert "cards" in told.relaxation.sentence() or "on-prem" in told.relaxation.sentence()


def test_when_only_what_goes_further_is_forbidden_it_says_so_and_no_rule_is_to_go() -> None:
    """As the refusal of the call itself does."""
    for more in ({"store": True}, {"web_search_options": {}}):
        told = explain(says(f"Pay with {CARD}", **more))
        assert (told.verdict, told.choices, told.without_onward) == ("no_permitted_placement", (), ("home",))
        assert told.relaxation is None
    assert explain(says(f"Pay with {CARD}", "clouds", store=True)).without_onward == ()
    assert explain(says("Hello.", store=True)).without_onward == ()


def test_what_is_declared_what_was_found_and_who_asks_all_count() -> None:
    assert explain(says("Hello."), data="pci").raised == {"header": 1}
    assert [one.deployment for one in explain(says("Hello."), data="pci").choices] == ["home"]
    assert [one.deployment for one in explain(says("Hello."), team="blue").choices] == ["home"]
    assert explain(says("Hello.", "anything"), workload="clouds").workload == "clouds"


def test_a_translation_is_told() -> None:
    choices = explain(says("Hello.", "clouds")).choices
    assert [(choice.deployment, choice.api) for choice in choices] == [("cloud", "chat"), ("claude", "messages")]


@pytest.mark.parametrize(
    ("said", "api"), [({}, "responses"), ({"stop_sequences": ["END"]}, "chat"), ({"mcp_servers": [{}]}, "responses")]
)
def test_of_several_translations_the_one_is_told_that_would_be_made(said: dict[str, Any], api: str) -> None:
    choices = explain(says("Hello.", max_tokens=9, **said), api="messages").choices
    assert choices[0].deployment == "cloud"
    assert choices[0].api == api


def test_permitted_but_unable_is_not_forbidden() -> None:
    told = explain({"model": "words", "input": "Hello."}, api="embeddings")
    assert (told.verdict, told.unable, told.choices, told.relaxation) == (
        "no_capable_placement",
        ("claude",),
        (),
        None,
    )


def test_a_count_that_nobody_can_make_is_estimated() -> None:
    told = explain({"model": "home", "messages": says("Hello.")["messages"]}, api="count_tokens")
    assert (told.verdict, told.unable, told.choices) == ("estimated", ("cloud", "home"), ())
    told = explain({"model": "clouds", "messages": says(CARD)["messages"]}, api="count_tokens")
    assert told.verdict == "no_permitted_placement", "a count that rules forbid everywhere is refused"


def test_a_choice_says_which_guard_it_rests_on() -> None:
    for text, guards in (("Mail jane.roe@example.org", ["pseudonymise", ""]), ("Hello.", ["", ""])):
        told = explain(says(text, "masked"))
        assert [one.guard for one in told.choices] == guards


def test_what_shows_only_across_parts_is_told_without_a_place() -> None:
    pieces = [{"type": "text", "text": text} for text in ("Card 4111 1111", " 1111 1111")]
    told = explain({"model": "w", "messages": [{"role": "user", "content": pieces}]})
    assert [(found.kind, found.at, found.start) for found in told.findings] == [("cards/visa", "", None)]


def test_findings_shown_are_bounded_and_all_are_counted() -> None:
    told = explain(says(" and ".join(f"user{n}@example.org" for n in range(900))))
    assert len(told.findings) == PLACES_MAX
    assert told.findings_total == 900


@pytest.mark.parametrize(
    ("request_", "more"),
    [
        (b"[1", {}),
        (b'{"model": "w", "model": "w"}', {}),
        (b'{"model": "w"}', {}),
        (b'{"model": 5, "messages": []}', {}),
        (b'{"messages": [{"role": "user", "content": "x"}]}', {}),
        (b'{"messages": [{"role": "user", "content": "x"}]}', {"workload": "w"}),
        (b'{"model": "w", "messages": []}', {"api": "nonsense"}),
        (b'{"model": "w", "text": "what only guards ask"}', {"api": "scan"}),
        (json.dumps(says("x")).encode(), {"workload": "nope"}),
        (json.dumps(says("x")).encode(), {"data": "personnal"}),
    ],
)
def test_bad_questions_are_told_so(request_: bytes, more: dict[str, str]) -> None:
    with pytest.raises(CallError) as refused:
        explain(request_, **more)
    assert "scan." not in str(refused.value), "no API of clients"


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from(["chat", "messages", "responses"])
)
def test_junk_never_is_a_defect(junk: bytes, api: str) -> None:
    with contextlib.suppress(CallError):
        explain(junk, api=api)


def run(tmp_path: Path, stdin: str, *options: str) -> subprocess.CompletedProcess[str]:
    path = tmp_path / "signalbox.yaml"
    path.write_text(CONFIG)
    command = [sys.executable, "-m", "signalbox", "explain", "--config", str(path), *options]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_the_command_says_it_in_words_and_in_json(tmp_path: Path) -> None:
    told = run(tmp_path, json.dumps(says(f"Pay with {CARD}", "free-name")), "--workload", "clouds")
    assert told.returncode == 1, told.stderr
    assert "cards/visa (pci) at /messages/0/content 9..28" in told.stdout
    assert "cards (PCI DSS 3.5.1)" in told.stdout
    assert "4111" not in told.stdout
    good = run(tmp_path, json.dumps(says("Hello.")), "--json")
    assert good.returncode == 0, good.stderr
    assert json.loads(good.stdout)["choices"][0] == {
        "deployment": "cloud",
        "environment": "us",
        "api": "chat",
        "short": [],
        "guard": "",
    }
    wrong = run(tmp_path, "{")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Traceback" not in wrong.stderr


def test_the_command_tells_the_guard_and_takes_an_estimate_for_an_answer(tmp_path: Path) -> None:
    count = run(tmp_path, json.dumps(says("Hello.", "home")), "--api", "count_tokens")
    assert (count.returncode, count.stdout.splitlines()[0]) == (0, "workload w, api count_tokens: estimated")
    masked = run(tmp_path, json.dumps(says("Mail jane.roe@example.org", "masked")))
    assert "choice 1  cloud@us, once pseudonymise has done its work  (fixed:masked)" in masked.stdout
    assert "choice 2  home@home  (fixed:masked)" in masked.stdout
