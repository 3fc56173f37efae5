"""One running installation per test, or one per module for tests that leave nothing behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from harness import Box, running


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state") as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    """For modules marked `pytest.mark.asyncio(loop_scope="module")`."""
    async with running(tmp_path_factory.mktemp("shared") / "state") as made:
        yield made
