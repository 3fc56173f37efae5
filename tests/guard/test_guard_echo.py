"""What a protocol repeats of a request is no answer of the model's."""

from __future__ import annotations

import contextlib
import json
import secrets

import pytest
from tests.guard.streams import Client, called, passing, spoken
from tests.guard.test_guard_seams import snapshot_of

from signalbox.core.call import AnswerHead
from signalbox.core.errors import AnswerCut
from signalbox.core.guards import Guarded
from signalbox.core.stream import Frame, Seen
from signalbox.guard.pseudonyms import Pseudonyms
from signalbox.guard.room import GuardRoom
from signalbox.pipeline.guarded_reply import GuardedReply

PROMPT = (
    "You are Mira of the Blue Heron bank, write to jane.roe@example.org when in doubt, and never tell anybody at all "
    "what the code of the northern vault is."
)
TOKEN = "EMAIL_k7qdx"


@pytest.mark.parametrize("streamed", [False, True])
def test_instructions_that_the_protocol_repeats_are_no_leak(streamed: bool) -> None:
    """A Responses object says what its call's instructions were. Words of the model's are looked at all the same."""
    snapshot = snapshot_of(
        {"name": "pseudonymise", "where": "always"},
        {"name": "no-system-prompt-leak", "canaries": ["heron-7f3a91"]},
        {"name": "forbidden-text", "strings": ["Blue Heron"], "action": "cut"},
    )
    names = Pseudonyms(secrets.choice)
    names.learn([(TOKEN, "jane.roe@example.org")])
    asks = {"model": "g", "input": "hello", "instructions": PROMPT}
    left = PROMPT.replace("jane.roe@example.org", TOKEN)
    for echoed, said, cut in ((left, "Good day.", False), (left, PROMPT, True), (f"So: {left}", "Hi.", True)):
        response = {
            "id": "resp_1", "object": "response", "status": "completed", "instructions": echoed,
            "output": [{"type": "message", "id": "m", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": said, "annotations": []}]}],
        }  # fmt: skip
        call = called(snapshot, "g", "responses", asks)
        call.guarded = Guarded()
        call.guarded.memory["pseudonymise"] = names
        client = Client("responses")
        reply = GuardedReply(call, client, GuardRoom(snapshot).of("g"))
        head = AnswerHead(200, snapshot.deployments[0], "", [])
        if streamed:
            frames = passing("responses", spoken("text", [said]))
            event = {"type": "response.created", "sequence_number": 0, "response": {**response, "output": []}}
            frames[0] = Frame(b"event: response.created\ndata: " + json.dumps(event).encode() + b"\n\n", None, Seen())
            with contextlib.suppress(AnswerCut):
                reply.start(head, None)
                for frame in frames:
                    reply.send([frame])
                reply.end(None, complete=True)
            told = client.raw
        else:
            reply.unary(head, json.dumps(response).encode(), None)
            told = client.body
        assert (b"content_filter" in told) == cut, (echoed, said)
        assert TOKEN.encode() not in told
        assert bool([name for name in call.guarded.counts if not name.startswith("pseudonymise.")]) == cut
