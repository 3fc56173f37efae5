"""A real installation per test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from installation import Served, installation


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with installation(tmp_path) as made:
        yield made
