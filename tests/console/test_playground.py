"""The playground asks the real gateway, as a client does, and tells honestly what came back."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import running
from signalbox.control.playground import Gateway, Piece, Trial, tried


async def _pieces(gateway: Gateway, **changes: object) -> list[Piece]:
    trial = Trial(**{"model": "w-chat", "text": "Hello", "key": "", "max_tokens": 50, **changes})  # type: ignore[arg-type]
    return [piece async for piece in tried(gateway, trial)]


async def test_an_answer_comes_in_pieces_with_its_placement(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        gateway = Gateway("127.0.0.1", box.port)
        head, *texts, end = await _pieces(gateway, key=box.key)
        assert (head.status, head.headers["x-signalbox-placement"]) == (200, "chat@openai-env")
        assert "".join(piece.text for piece in texts)
        assert end.end
        assert end.error == ""
        assert end.tokens_out > 0
        (row,) = await box.settled(1)
        assert row["call_id"] == head.headers["x-request-id"]


@pytest.mark.parametrize(
    ("changes", "status"), [({"key": "sb-wrong"}, 401), ({"model": "nobody"}, 404), ({"data": "nonsense"}, 400)]
)
async def test_a_refusal_is_told_in_its_own_words(tmp_path: Path, changes: dict[str, str], status: int) -> None:
    async with running(tmp_path) as box:
        head, end = await _pieces(Gateway("127.0.0.1", box.port), **{"key": box.key, **changes})
        assert head.status == status
        assert end.end
        assert len(end.error) > 10


async def test_a_stream_that_is_cut_is_not_a_success(tmp_path: Path) -> None:
    async with running(tmp_path) as box:
        box.sim.fault("eof@3", provider="openai")
        *_, end = await _pieces(Gateway("127.0.0.1", box.port), key=box.key)
        assert end.end
        assert end.error


async def test_no_gateway_is_told() -> None:
    (end,) = await _pieces(Gateway("127.0.0.1", 9), key="sb-x")
    assert end.end
    assert "did not answer" in end.error
