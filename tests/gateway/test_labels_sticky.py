"""What one call of a conversation carried stays with the later ones: on other workers, after a restart, and when the
client no longer sends it."""

import asyncio
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import PEPPER, Box, running, simulated_config
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.core.link import ApplyKeys, Drain, Listen
from signalbox.ledger.journal import new_chain
from signalbox.telemetry.log import Log

CONFIG: dict[str, Any] = {
    "workloads": {"w": {"placements": ["chat", "local"]}, "w-short": {"placements": ["chat", "local"]}},
    "rules": [{"id": "cards-stay", "when": {"level": "restricted"}, "allow": {"kind": ["on-prem"]}}],
}
CARD = "My card is 4111 1111 1111 1111."


def ask(*texts: str, **more: Any) -> dict[str, Any]:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    return {"model": "w", "messages": messages, "max_tokens": 4, **more}


async def place(box: Box, body: dict[str, Any], **headers: str) -> str:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await box.request("/v1/chat/completions", body, headers=given)
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-placement"].partition("@")[0]


@asynccontextmanager
async def second_worker(box: Box) -> AsyncGenerator[Box]:
    """Another data plane over the same state directory, as a second process of the installation has it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    listener.setblocking(False)
    plane = DataPlane(box.state, new_chain("second"), Log("second"))
    other = Box(box.sim, plane, box.state, listener)
    other.keys, other.key = box.keys, box.key
    assert not await other.configure(simulated_config(box.sim, **CONFIG))
    await other.worker.obey(ApplyKeys(PEPPER, other.keys))
    await other.worker.obey(Listen())
    try:
        yield other
    finally:
        await other.worker.obey(Drain(0))
        await plane.close()


async def test_a_named_session_stays_raised_whatever_is_sent_later(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask("Hello."), x_signalbox_session="s-1") == "chat"
        assert await place(box, ask("Hello.", "Yes?", CARD), x_signalbox_session="s-1") == "local"
        assert await place(box, ask("Sum it up."), x_signalbox_session="s-1") == "local"
        assert await place(box, ask("Sum it up."), x_signalbox_session="s-2") == "chat"
        rows = await box.settled(4)
        by_number = {row["call_id"]: row for row in rows}
        found = [row.get("found") for row in by_number.values()]
        assert found == [None, {"cards/visa": 1}, {"conversation": 1}, None]
        assert "restricted" in rows[2]["labels"]


@pytest.mark.parametrize(
    ("headers", "more"),
    [
        ({"x_claude_code_session_id": "c0ffee"}, {}),
        ({"session_id": "abc"}, {}),
        ({}, {"prompt_cache_key": "0198c0de-1111-7abc-8def-0123456789ab"}),
        ({}, {"metadata": {"user_id": "user_ab_account__session_0198c0de-1111-7abc-8def-0123456789ab"}}),
    ],
    ids=["claude code", "codex", "codex body", "claude code body"],
)
async def test_known_clients_name_their_sessions(tmp_path: Path, headers: dict[str, str], more: dict[str, Any]) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask("Hello.", "Yes?", CARD, **more), **headers) == "local"
        assert await place(box, ask("Something else altogether.", **more), **headers) == "local"


async def test_a_cache_key_for_everybody_names_no_conversation(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask(CARD, prompt_cache_key="support-bot")) == "local"
        assert await place(box, ask("Hello.", prompt_cache_key="support-bot")) == "chat"


async def test_a_conversation_is_known_by_how_it_began(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        begun = "Let us talk about hotels."
        assert await place(box, ask(begun)) == "chat"
        assert await place(box, ask(begun, "Gladly.", CARD)) == "local"
        compacted = ask(begun, "The user gave payment details.", "Book it.")
        assert await place(box, compacted) == "local", "what the client dropped still counts"
        assert await place(box, ask(begun)) == "chat", "a first message is a conversation of its own"
        assert await place(box, ask("Let us talk about trains.", "Gladly.", "Book it.")) == "chat"
        other = await box.new_key()
        answer = await box.request("/v1/chat/completions", compacted, key=other)
        assert answer.headers["x-signalbox-placement"].startswith("chat@"), "another key is another caller"


async def test_what_a_header_declared_once_holds_for_the_conversation(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask("Hello there."), x_signalbox_data="phi") == "local"
        assert await place(box, ask("Hello there.", "Yes?", "Go on.")) == "local"
        assert await place(box, ask("Hello there.", "Yes?", "Go on."), x_signalbox_data="internal") == "local"


async def test_another_worker_sees_it_at_once_and_a_restart_keeps_it(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box, second_worker(box) as other:
        for n in range(20):
            name = f"session-{n}"
            assert await place(box, ask(CARD), x_signalbox_session=name) == "local"
            assert await place(other, ask("Go on."), x_signalbox_session=name) == "local"
        history = ("Plan a trip.", "Where to?", CARD)
        assert await place(other, ask(*history)) == "local"
        assert await place(box, ask(history[0], "Noted.", "Go on.")) == "local"
    async with running(tmp_path / "state", CONFIG) as again:
        assert await place(again, ask("Go on."), x_signalbox_session="session-7") == "local"


async def test_it_ends_with_its_lifetime(tmp_path: Path) -> None:
    async with running(tmp_path / "state", {**CONFIG, "conversations": {"lifetime_s": 1}}) as box:
        assert await place(box, ask(CARD), x_signalbox_session="s") == "local"
        assert await place(box, ask("Go on."), x_signalbox_session="s") == "local"
        await asyncio.sleep(2.1)
        assert await place(box, ask("Go on."), x_signalbox_session="s") == "chat"


async def test_when_it_cannot_be_kept_nothing_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask("Hello."), x_signalbox_session="s") == "chat"
        sent = len(box.sim.log.entries)
        with box.state.conversations.open("r+b") as file:
            file.truncate(512)
        for body in (ask(CARD), ask("Hello.")):
            answer = await box.request("/v1/chat/completions", body, headers={"x-signalbox-session": "s"})
            assert answer.status == 503
            assert b"4111" not in answer.body
        assert len(box.sim.log.entries) == sent
        assert await place(box, ask("Hello, without any session.")) == "chat"


async def test_tool_arguments_of_an_answer_count_when_they_come_back(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        call = {"id": "call_1", "type": "function"}
        call["function"] = {"name": "pay", "arguments": '{"card": "\\u0034111 1111 1111 1111"}'}  # type: ignore[assignment]
        messages = [
            {"role": "user", "content": "Pay with the card on file."},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "done"},
        ]
        assert await place(box, {"model": "w", "messages": messages, "max_tokens": 4}) == "local"


async def test_nothing_of_a_call_is_in_the_file(tmp_path: Path) -> None:
    async with running(tmp_path / "state", CONFIG) as box:
        assert await place(box, ask("Hello.", "Yes?", CARD), x_signalbox_session="a-session-name") == "local"
        kept = box.state.conversations.read_bytes()
        assert b"4111" not in kept
        assert b"a-session-name" not in kept
        assert box.state.conversations.stat().st_mode & 0o077 == 0
