"""What guards look with is made ready beside requests, once for all workloads and configurations: no text waits."""

from __future__ import annotations

import copy
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from tests.harness import running

from signalbox.detectors.engine import Database

GUARDS = [{"name": "pseudonymise", "where": "always"}, "no-secrets", "no-personal-data"]
SAID = "[[text:Write to john.doe@example.com, password: hunter2xyz99]] and to jane@example.org"


async def test_no_call_waits_for_what_guards_look_with(tmp_path: Path) -> None:
    """Neither the first one of a workload, nor the first one after a reload."""
    compiled: list[str] = []

    def note(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code is Database.ready.__code__:
            compiled.append(threading.current_thread().name)

    workloads = {f"g{number}": {"placements": ["local"], "guards": GUARDS} for number in range(3)}
    async with running(tmp_path) as box:
        config = copy.deepcopy(box.config) | {"workloads": workloads}
        for _ in range(2):
            assert not await box.configure(config)
            sys.setprofile(note)  # of this thread, which serves
            try:
                for name in workloads:
                    body = {"model": name, "messages": [{"role": "user", "content": SAID}]}
                    answer = await box.request("/v1/chat/completions", body)
                    assert answer.status == 200, answer.body
                    assert b"hunter2xyz99" not in answer.body
            finally:
                sys.setprofile(None)
    assert compiled == []
    sent = [entry.body for entry in box.sim.log.entries]
    assert sent
    assert not [body for body in sent if b"jane@example.org" in body]
