"""The built-in encoders: the one without weights, and what is said of a folder that holds none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.core.errors import ConfigError
from signalbox.embedding.encoder import built_in

np = pytest.importorskip("numpy")
SEMANTIC: dict[str, Any] = {"placements": ["chat"], "cache": {"semantic": {}}}


def test_spellings_that_are_near_are_near_and_everything_has_unit_length() -> None:
    encoder = built_in(None)
    one, near, far = (
        encoder.encode(text)
        for text in ("how do I reset my password", "how can I reset the password?", "weather in the mountains")
    )
    assert encoder.dimensions == len(one)
    for vector in (one, near, far):
        assert abs(float(vector @ vector) - 1) < 1e-5
    assert float(one @ near) > 0.5 > float(one @ far)
    assert np.array_equal(one, built_in(None).encode("how do I reset my password"))
    for odd in ("", " ", "?!", "\ud800", "漢字かな", "a" * 100_000):
        assert np.isfinite(encoder.encode(odd)).all()


def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        built_in(tmp_path)


async def test_a_configuration_with_such_a_folder_is_refused_and_the_last_one_kept(box: Box) -> None:
    good = {**box.config, "workloads": {"meant": SEMANTIC}}
    assert not await box.configure(good)
    error = await box.configure({**good, "caches": {"encoder": str(box.state.root / "nothing")}})
    assert error
    body = {"model": "meant", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}
    assert (await box.request("/v1/chat/completions", body)).status == 200


async def test_a_deployment_that_does_not_exist_is_named(box: Box) -> None:
    workload = {**SEMANTIC, "cache": {"semantic": {"embedding": "embedd"}}}
    error = await box.configure({**box.config, "workloads": {"meant": workload}})
    assert "embedd" in error
    assert "workloads.meant.cache.semantic.embedding" in error


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state") as made:
        yield made
