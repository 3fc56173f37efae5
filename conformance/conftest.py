"""One stage per test."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stage import MODULES, Stage, staged


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    if not (MODULES / ".installed").exists() or shutil.which("node") is None:
        pytest.fail("The agents are not installed: run `make conformance`, which needs Node.js and npm.", pytrace=False)
    async with staged(tmp_path / "home") as made:
        yield made
