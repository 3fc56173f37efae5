"""Pseudonyms: nothing raw goes up, nothing of ours comes down, and every call of a conversation says the same."""

from __future__ import annotations

import asyncio
import json
import os
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.guard.streams import APIS, ASKED, Client, called, passing, spoken, translated
from tests.guard.test_guard_seams import KINDS, said_in, snapshot_of, splits
from tests.harness import running

from signalbox.core.call import AnswerHead
from signalbox.core.errors import Overloaded
from signalbox.core.guards import Channel, Guarded
from signalbox.guard.contract import Outgoing
from signalbox.guard.pseudonymise import NAME
from signalbox.guard.pseudonyms import TOKEN, TOKEN_CHARS_MAX, Pseudonyms
from signalbox.guard.room import GuardRoom, GuardSet
from signalbox.guard.screen import Screen
from signalbox.guard.vault import FileVault
from signalbox.pipeline.affinity import conversation_scope
from signalbox.pipeline.guarded_reply import GuardedReply

KEY = b"k" * 32
ALWAYS = {"name": "pseudonymise", "where": "always"}
SAID = "Write to jane.roe@example.org or call +49 30 901820, card 4111 1111 1111 1111, from 81.2.69.142."
VALUES = ("jane.roe@example.org", "+49 30 901820", "4111 1111 1111 1111", "81.2.69.142")


def worker(tmp_path: Path) -> GuardSet:
    """A process's own guards over the installation's files."""
    return GuardRoom(snapshot_of(ALWAYS), FileVault(tmp_path / "pseudonyms", KEY)).of("g")


def hidden(guards: GuardSet, doc: dict[str, Any]) -> tuple[bytes, Guarded]:
    """What leaves for a body, and what is kept of the call."""
    snapshot = snapshot_of(ALWAYS)
    call = called(snapshot, "g", "chat", doc)
    call.guarded = Guarded()
    sent = Outgoing(call, snapshot.deployments[0], "chat", call.body, doc, conversation=conversation_scope(call))
    screened = asyncio.run(guards.requests[0][1].screen(sent))
    assert screened.transformed == NAME
    return screened.body if screened.body is not None else call.body, call.guarded


def chat(*turns: str) -> dict[str, Any]:
    roles = ("user", "assistant")
    return {"model": "g", "messages": [{"role": roles[at % 2], "content": turn} for at, turn in enumerate(turns)]}


def restored(guards: GuardSet, record: Guarded, pieces: list[str], kind: str = "text") -> str:
    call = called(snapshot_of(ALWAYS), "g", "chat")
    call.guarded = record
    screen = Screen(guards, call, record)
    channel = Channel(kind)
    out = "".join([screen.feed(channel, piece) for piece in pieces])
    return out + screen.end(channel)


def test_values_leave_as_random_tokens_of_their_kind_and_come_back(tmp_path: Path) -> None:
    guards = worker(tmp_path)
    body, record = hidden(guards, chat(SAID))
    for value in VALUES:
        assert value.encode() not in body
    text = msgspec.json.decode(body)["messages"][0]["content"]
    assert [token.partition("_")[0] for token in TOKEN.findall(text)] == ["EMAIL", "PHONE", "CARD", "IP"]
    assert restored(guards, record, [text]) == SAID
    (tmp_path / "other").mkdir()
    assert hidden(worker(tmp_path / "other"), chat(SAID))[0] != body


def test_the_rest_of_a_body_is_left_byte_by_byte(tmp_path: Path) -> None:
    raw = b'{ "model" :"g","x":1.50,  "messages":[{"role":"user","content":"a \\u00e9 jane.roe@example.org \\n"}] }'
    snapshot = snapshot_of(ALWAYS)
    call = called(snapshot, "g", "chat", msgspec.json.decode(raw))
    call.guarded = Guarded()
    sent = Outgoing(call, snapshot.deployments[0], "chat", raw, call.doc, conversation=b"scope")
    body = asyncio.run(worker(tmp_path).requests[0][1].screen(sent)).body
    assert body is not None
    start, end = body.split(b'"content":"')[0], body[-5:]
    assert raw.startswith(start)
    assert raw.endswith(end)
    assert TOKEN.search(body.decode()) is not None


def test_every_worker_and_every_turn_says_the_same(tmp_path: Path) -> None:
    workers = [worker(tmp_path) for _ in range(4)]
    first, record = hidden(workers[0], chat(SAID))
    told = msgspec.json.decode(first)["messages"][0]["content"]
    answer = restored(workers[0], record, [f"Done: {told}"])
    second, _ = hidden(workers[1], chat(SAID, answer, "And 81.2.69.142 again, JANE.ROE@example.org?"))
    turns = msgspec.json.decode(second)["messages"]
    assert turns[0]["content"] == told
    assert turns[1]["content"] == f"Done: {told}"
    assert set(TOKEN.findall(turns[2]["content"])) <= set(TOKEN.findall(told))
    third, _ = hidden(workers[2], chat(SAID, answer, "And 81.2.69.142 again, JANE.ROE@example.org?"))
    assert third == second


def test_other_callers_and_other_conversations_share_nothing(tmp_path: Path) -> None:
    guards = worker(tmp_path)
    one, _ = hidden(guards, chat("Mail jane.roe@example.org"))
    two, record = hidden(guards, chat("Please mail jane.roe@example.org"))
    (token,) = TOKEN.findall(one.decode())
    assert token not in two.decode()
    assert restored(guards, record, [token]) == token


def test_the_parts_of_a_name_are_known_afterwards(tmp_path: Path) -> None:
    guards = worker(tmp_path)
    first = "My name is Jane Roe-Miller, and I live in Bonn."
    body, _ = hidden(guards, chat(first))
    if b"Roe-Miller" in body:
        pytest.skip("the detectors do not see this name")
    later, record = hidden(guards, chat(first, "Hello", "What did Roe-Miller order?"))
    assert b"Roe-Miller" not in later
    text = msgspec.json.decode(later)["messages"][2]["content"]
    assert restored(guards, record, [text]) == "What did Roe-Miller order?"


@pytest.mark.parametrize("hub", [False, True], ids=["passes", "translated"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("api", APIS)
def test_tokens_are_restored_wherever_a_stream_is_split(tmp_path: Path, api: str, kind: str, hub: bool) -> None:
    guards = worker(tmp_path)
    body, record = hidden(guards, chat('Say "jane.roe@example.org" and 81.2.69.142'))
    tokens = TOKEN.findall(body.decode())
    assert len(tokens) == 2
    said = f"{tokens[0]}, {tokens[1]}: PERSON_zzzzz EMAIL {tokens[0]}ü{tokens[0].upper()} x{tokens[1]}"
    wanted = said
    for token, value in zip(tokens, ("jane.roe@example.org", "81.2.69.142"), strict=True):
        wanted = wanted.replace(f"x{token}", "<glued>").replace(token, value).replace(token.upper(), value)
        wanted = wanted.replace("<glued>", f"x{token}")
    for pieces in splits(said_in(kind, said) if kind == "tool" else said):
        snapshot = snapshot_of(ALWAYS)
        call = called(snapshot, "g", api)
        call.guarded = record
        client = Client(api)
        reply = GuardedReply(call, client, guards)
        events = spoken(kind, pieces)
        reply.start(AnswerHead(200, snapshot.deployments[0], "", []), ASKED if hub else None)
        for frame in translated(events) if hub else passing(api, events):
            reply.send([frame])
        reply.end(None, complete=not hub)
        (heard,) = client.heard()[0].values()
        assert (json.loads(heard)["q"] if kind == "tool" else heard) == wanted, pieces


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_held_back_is_short_and_splits_change_nothing(data: st.DataObject) -> None:
    draw = random.Random(data.draw(st.integers(0, 99)))
    names = Pseudonyms(draw.choice)
    names.learn(names.new([("PERSON", "Jane Roe"), ("ACCOUNT", 'x "1"'), ("IP", "::1")]))
    record = Guarded()
    record.memory[NAME] = names
    guards = GuardRoom(snapshot_of(ALWAYS)).of("g")
    parts = st.sampled_from([*names.by_token, "PERSON", "_", "A", "ACC", " ", "IP_", "x", "\\", "é", "P"])
    text = "".join(data.draw(st.lists(parts, max_size=14)))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=10)))
    marks = [0, *places, len(text)]
    pieces = [text[a:b] for a, b in pairwise(marks)]
    whole = restored(guards, record, [text])
    call = called(snapshot_of(ALWAYS), "g", "chat")
    call.guarded = record
    screen = Screen(guards, call, record)
    out, fed = "", 0
    for piece in pieces:
        out += screen.feed(Channel("text"), piece) if piece else ""
        fed += len(piece)
        shown_at_most = restored(guards, record, [text[: max(0, fed - TOKEN_CHARS_MAX - 2)]])
        assert len(out) >= len(shown_at_most) - 16
    assert out + screen.end(Channel("text")) == whole
    assert TOKEN_CHARS_MAX <= 24


def test_nothing_of_a_value_is_on_the_disk_and_what_cannot_be_kept_does_not_leave(tmp_path: Path) -> None:
    guards = worker(tmp_path)
    hidden(guards, chat(SAID))
    files = [one for one in (tmp_path / "pseudonyms").rglob("*") if one.is_file()]
    assert files
    for one in files:
        assert b"jane" not in one.read_bytes()
        assert one.stat().st_mode & 0o077 == 0
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"x")
    with pytest.raises(Overloaded):
        hidden(worker(tmp_path), chat(SAID))
    broken = FileVault(tmp_path / "gone", KEY)
    os.rmdir(tmp_path / "gone")
    (tmp_path / "gone").write_text("a file")
    with pytest.raises(Overloaded):
        broken.keep(b"s", [("EMAIL_bbbbb", "a@example.org")], 60)


def test_two_workers_that_meet_a_value_at_once_agree(tmp_path: Path) -> None:
    one, two = FileVault(tmp_path / "v", KEY), FileVault(tmp_path / "v", KEY)
    assert one.recall(b"s", 60) == two.recall(b"s", 60) == []
    held = one.keep(b"s", [("EMAIL_bbbbb", "a@example.org")], 60)
    assert two.keep(b"s", [("EMAIL_ccccc", "a@example.org"), ("IP_ddddd", "::1")], 60) == [*held, ("IP_ddddd", "::1")]
    assert one.recall(b"s", 60) == two.recall(b"s", 60)
    assert FileVault(tmp_path / "v", b"other" * 8).recall(b"s", 60) == []


def test_a_map_is_forgotten_after_its_lifetime(tmp_path: Path) -> None:
    now = [1_000_000.0]
    vault = FileVault(tmp_path / "v", KEY, now_s=lambda: now[0])
    vault.keep(b"s", [("EMAIL_bbbbb", "a@example.org")], 60)
    now[0] += 59
    assert len(vault.recall(b"s", 60)) == 1
    now[0] += 61
    assert vault.recall(b"s", 60) == []
    assert vault.keep(b"s", [("EMAIL_ccccc", "a@example.org")], 60) == [("EMAIL_ccccc", "a@example.org")]


RULES = [
    {
        "id": "personal-stays",
        "when": {"data": ["personal"]},
        "allow": {"kind": ["on-prem"]},
        "transform": "pseudonymise",
    },
    {"id": "cards-stay", "when": {"data": ["pci"]}, "allow": {"kind": ["on-prem"]}},
]


async def test_the_rules_say_where_transformed_content_may_go(tmp_path: Path) -> None:
    """A rule that names the guard opens a cloud for what it has transformed; one that does not stays shut."""
    guards = [{"name": "pseudonymise", "where": "needed"}]
    config: dict[str, Any] = {
        "rules": RULES,
        "workloads": {
            "open": {"placements": ["chat"], "guards": guards, "data": ["personal"]},
            "shut": {"placements": ["chat"], "data": ["personal"]},
        },
    }
    async with running(tmp_path, config) as box:
        paths = {"/v1/chat/completions": "messages", "/v1/responses": "input"}
        for path, key in paths.items():
            said: Any = "[[text:mail jane.roe@example.org now]]"
            body = {"model": "open", key: said if key == "input" else [{"role": "user", "content": said}]}
            if key == "input":
                body["store"] = False  # what a provider stores goes further than the rule lets it
            for stream in (False, True):
                answer = await box.request(path, body | {"stream": stream})
                assert answer.status == 200, answer.body
                assert b"jane.roe@example.org" in answer.body
                assert b"EMAIL_" not in answer.body
        for entry in box.sim.log.entries:
            assert b"jane.roe" not in entry.body
        refused = await box.request("/v1/chat/completions", chat("mail jane.roe@example.org") | {"model": "shut"})
        assert (refused.status, refused.json["error"]["code"]) == (400, "no_permitted_placement")
        card = await box.request("/v1/chat/completions", chat("card 4111 1111 1111 1111") | {"model": "open"})
        assert (card.status, card.json["error"]["code"]) == (400, "no_permitted_placement")
        rows = await box.settled(4)
        assert {name.partition("@")[0] for row in rows for name in row["guards"]} == {
            "pseudonymise.hidden:replace", "pseudonymise.restored:replace"
        }  # fmt: skip
        assert all(row["reason"].endswith("pseudonymised") for row in rows)


def test_an_agent_of_fifty_turns_over_four_workers(tmp_path: Path) -> None:
    """Forty values, said by the user, by tools and by the model: none goes up, and no token comes down."""
    draw = random.Random(5)
    values = [f"{first}.{at}@example.org" for at, first in enumerate(("ann", "bob", "cy", "dee") * 5)]
    values += [f"81.2.{at}.{142 + at}" for at in range(10)]
    values += ["4111 1111 1111 1111", "5555 5555 5555 4444", "DE89 3704 0044 0532 0130 00", "+49 30 901820"]
    values += [f"+1 415 555 26{at}{at}" for at in range(6)]
    workers = [worker(tmp_path) for _ in range(4)]
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Keep our customers in order, please."}]
    unseen, tokens = list(values), set[str]()
    for turn in range(50):
        guards = workers[turn % 4]
        body, record = hidden(guards, {"model": "g", "messages": messages})
        sent = body.decode()
        assert not [value for value in values if value in sent], turn
        tokens |= set(TOKEN.findall(sent))
        known = sorted(tokens) or ["nobody"]
        said = f"I will write to {draw.choice(known)}."
        arguments = json.dumps({"to": draw.choice(known), "cc": [draw.choice(known)]})
        heard = restored(guards, record, [said[at : at + 7] for at in range(0, len(said), 7)])
        called_with = restored(guards, record, [arguments[at : at + 5] for at in range(0, len(arguments), 5)], "tool")
        assert not TOKEN.search(heard + called_with), turn
        json.loads(called_with)
        call = {"id": f"c{turn}", "type": "function", "function": {"name": "mail", "arguments": called_with}}
        messages.append({"role": "assistant", "content": heard, "tool_calls": [call]})
        new = [unseen.pop() for _ in range(min(1, len(unseen)))]
        messages.append({"role": "tool", "tool_call_id": f"c{turn}", "content": f"sent; see also: {', '.join(new)}"})
        messages.append({"role": "user", "content": f"Go on with contact {new[0]}" if new else "Go on."})
    assert len(tokens) == len(values)
