"""One running installation per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from harness import Box, running


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state") as made:
        yield made
