"""What guards cost: CPU of one request's way out and back, of one event of a stream, and what a stream holds back.

    python -m benchmarks.guards

Everything runs in this process on the real classes, without sockets: what is added to a call, and nothing else.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from signalbox.bootstrap.compiling import compile_text
from signalbox.core.call import AnswerHead, Call, Envelope, Principal
from signalbox.core.guards import Guarded
from signalbox.core.hub import Event, Request
from signalbox.core.labels import NONE
from signalbox.core.stream import Frame, Seen
from signalbox.core.usage import Usage
from signalbox.guard.contract import Outgoing
from signalbox.guard.room import GuardRoom
from signalbox.guard.vault import FileVault
from signalbox.pipeline.affinity import conversation_scope
from signalbox.pipeline.guarded_reply import GuardedReply

ROUNDS = 3000
TEXT = (
    "Please summarise the minutes of the meeting for the team, in five short points, and say who does what until when. "
    "The project is on time, the budget holds, and the next release is planned for the end of the month. "
)
SETS: dict[str, list[Any]] = {
    "forbidden-text": [{"name": "forbidden-text", "strings": ["Project Tannhauser", "internal only"]}],
    "pseudonymise": [{"name": "pseudonymise", "where": "always"}],
    "no-secrets": ["no-secrets"],
    "no-personal-data": ["no-personal-data"],
    "signals": ["signals"],
}
SETS["all five"] = [one for guards in list(SETS.values()) for one in guards]


class Sink:
    """The edge: takes everything."""

    started = content_sent = slow = False

    def __init__(self) -> None:
        self.chars = 0

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self.chars += len(body)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self.chars += len(body)

    def own(self, body: bytes, reason: str) -> None:
        self.chars += len(body)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self.started = True

    def send(self, frames: list[Frame]) -> None:
        self.chars += sum(len(frame.raw) for frame in frames)

    async def drain(self) -> None:
        return None

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        return []

    def comment(self, text: str) -> None:
        return None

    def end(self, usage: Usage | None, complete: bool) -> None:
        return None


def room(guards: list[Any], folder: Path) -> tuple[Any, GuardRoom]:
    config = {
        "environments": {"e": {"kind": "on-prem"}},
        "deployments": {"d": {"environment": "e", "protocol": "openai", "base_url": "http://127.0.0.1:9/v1",
                              "allow_private": True, "model": "m"}},
        "workloads": {"g": {"placements": ["d"], "guards": guards}},
    }  # fmt: skip
    snapshot = compile_text(msgspec.json.encode(config), "signalbox.yaml", 1).snapshot
    return snapshot, GuardRoom(snapshot, FileVault(folder, b"k" * 32))


def made(snapshot: Any, number: int, extra: str = "") -> Call:
    text = f"{TEXT}{extra}{number:08d}."
    doc = {"model": "g", "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]}
    call = Call(
        id="r", api="chat", snapshot=snapshot, principal=Principal("k", "t", "", None, frozenset()),
        body=msgspec.json.encode(doc), doc=doc, envelope=Envelope(stream=False), model="g",
        workload=snapshot.workloads["g"], pinned=None, data_header=NONE, headers=[], query=b"",
        received_ns=0, auth_ns=0,
    )  # fmt: skip
    call.guarded = Guarded()
    call.decided_ns = 1  # classified, and nothing found
    return call


def best_us(work: Callable[[int], object], rounds: int = ROUNDS) -> float:
    """The best of five, in microseconds a round."""
    best = float("inf")
    for attempt in range(5):
        began = time.process_time_ns()
        for at in range(rounds // 5):
            work(attempt * rounds + at)
        best = min(best, (time.process_time_ns() - began) / (rounds // 5) / 1000)
    return best


def main() -> None:
    answer = msgspec.json.encode(
        {"id": "x", "object": "chat.completion", "created": 1, "model": "m",
         "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 90, "completion_tokens": 60}}
    )  # fmt: skip
    words = [word + " " for word in TEXT.split()]
    events = [
        Frame(b'data: {"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
              b'{"content":%b},"finish_reason":null}]}\n\n' % msgspec.json.encode(word), None, Seen())
        for word in words
    ]  # fmt: skip
    print(f"body {len(made(room([], Path(tempfile.mkdtemp()))[0], 1).body)} bytes, answer {len(answer)} bytes")
    print("| guards | way out, µs | way back, µs | together | an event of a stream, µs | held at most, characters |")
    print("|---|---|---|---|---|---|")
    for name, guards in SETS.items():
        with tempfile.TemporaryDirectory() as folder:
            snapshot, rooms = room(guards, Path(folder) / "v")
            chosen = rooms.of("g")
            head = AnswerHead(200, snapshot.deployments[0], "", [])

            def out(at: int, chosen: Any = chosen, snapshot: Any = snapshot) -> None:
                for _, requests in chosen.requests:
                    call = made(snapshot, at)
                    sent = Outgoing(call, snapshot.deployments[0], "chat", call.body, call.doc,
                                    conversation=conversation_scope(call))  # fmt: skip
                    with contextlib.suppress(StopIteration):
                        requests.screen(sent).send(None)

            def back(at: int, chosen: Any = chosen, snapshot: Any = snapshot, head: Any = head) -> None:
                GuardedReply(made(snapshot, at), Sink(), chosen).unary(head, answer, None)

            def stream(at: int, chosen: Any = chosen, snapshot: Any = snapshot, head: Any = head) -> None:
                reply = GuardedReply(made(snapshot, at), Sink(), chosen)
                reply.start(head, None)
                for frame in events:
                    reply.send([frame])

            base = best_us(lambda at, snapshot=snapshot: made(snapshot, at))
            way_out = max(0.0, best_us(out) - base) if chosen.requests else 0.0
            way_back = best_us(back) - base
            each = (best_us(stream, 500) - base) / len(events)
            held = held_at_most(chosen, snapshot, head, events)
            print(f"| {name} | {way_out:.1f} | {way_back:.1f} | {way_out + way_back:.1f} | {each:.1f} | {held} |")


def held_at_most(chosen: Any, snapshot: Any, head: Any, events: list[Frame]) -> int:
    """The most characters of ordinary prose that were not yet out after an event."""
    sink = Sink()
    reply = GuardedReply(made(snapshot, 1), sink, chosen)
    reply.start(head, None)
    behind = sent = 0
    for frame in events:
        sent += len(frame.raw)
        reply.send([frame])
        behind = max(behind, sent - sink.chars)
    return behind


if __name__ == "__main__":
    main()
