"""A running installation and the two official SDKs pointed at it, checking every answer against their own types."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import anthropic
import openai
import pytest

from harness import Box, running

# A workload whose only placement the rules forbid.
MORE = {
    "workloads": {"w-barred": {"placements": ["chat"], "data": ["restricted"]}},
    "rules": [{"id": "stay-home", "when": {"level": "restricted"}, "allow": {"kind": ["on-prem"]}}],
}


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", MORE) as made:
        yield made


@pytest.fixture
async def oai(box: Box) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{box.url}/v1", api_key=box.key, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
async def ant(box: Box) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=box.url, auth_token=box.key, max_retries=0, _strict_response_validation=True
    ) as client:
        yield client
