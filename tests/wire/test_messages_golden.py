"""Golden wire pairs of the Messages dialect: data files under golden/messages, one runner; a case needs no code.

`<case>.in.json`       a client's body      -> `<case>.hub.json`      what the hub holds of it
`<case>.request.json`  a hub request        -> `<case>.<model>.json`  the body written for that model
A result is `{"dropped": [...], ...}` or `{"error": class, "param": ...}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from signalbox.core.errors import BadRequest
from signalbox.core.hub import Request
from signalbox.wire.anthropic_messages import MESSAGES
from signalbox.wire.dialect import Target

GOLDEN = Path(__file__).parent / "golden" / "messages"
INPUTS = sorted(path.name.removesuffix(".in.json") for path in GOLDEN.glob("*.in.json"))
RESULTS = sorted(
    path.name
    for path in GOLDEN.glob("*.json")
    if (GOLDEN / f"{path.name.split('.', 1)[0]}.request.json").exists() and not path.name.endswith(".request.json")
)


def _load(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text())


def _outcome(act: Any) -> Any:
    try:
        return act()
    except BadRequest as error:
        return {"error": type(error).__name__, "param": error.param}


@pytest.mark.parametrize("case", INPUTS)
def test_a_client_body_is_read_into_the_hub(case: str) -> None:
    expected = _load(f"{case}.hub.json")
    if "error" not in expected:
        expected = msgspec.convert(expected, Request)
    assert _outcome(lambda: MESSAGES.read_request(_load(f"{case}.in.json"))) == expected


@pytest.mark.parametrize("result", RESULTS)
def test_a_hub_request_is_written_for_a_model(result: str) -> None:
    case, model = result.removesuffix(".json").split(".", 1)

    def write() -> Any:
        request = msgspec.json.decode((GOLDEN / f"{case}.request.json").read_bytes(), type=Request)
        body = MESSAGES.write_request(request, Target(model))
        return {"dropped": request.dropped, "body": json.loads(body)}

    assert _outcome(write) == _load(result)


def test_there_are_cases() -> None:
    assert len(INPUTS) >= 6
    assert len(RESULTS) >= 8
