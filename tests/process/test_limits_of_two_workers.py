"""Over two workers, each of which holds a lease of the limit, callers are told their own limits at every seam."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from installation import Served, installation

from limit_cells import CALLS, CELLS, PROVIDERS_LIMIT, Cell, config_of_cells, limited_providers, told

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    async with installation(tmp_path_factory.mktemp("pair"), limited_providers()) as served:
        served.write(config_of_cells(served.sim))
        await served.start(workers=2)
        yield served


def worker_of(call_id: str) -> str:
    """Ids of one process begin alike."""
    return call_id[:-8]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.name)
async def test_two_workers_tell_one_limit(pair: Served, cell: Cell) -> None:
    """Of a small limit never more than is left; as many calls are served as it has, whichever worker they came to."""
    answers, workers = [], set[str]()
    # Each connection comes to any of the two.
    while len(answers) < CALLS + 2 or (len(workers) < 2 and len(answers) < 60):
        answer = await pair.request(cell.path, cell.body)
        workers.add(worker_of(answer.headers["x-request-id"]))
        answers.append(answer)
    assert len(workers) == 2
    assert [answer.status for answer in answers] == [200] * CALLS + [429] * (len(answers) - CALLS), answers[0].body
    for number, answer in enumerate(answers, 1):
        limit = told(cell.api, answer)["requests"]
        assert limit["limit"] == str(CALLS)
        assert 0 <= int(limit["remaining"]) <= max(0, CALLS - number)
        assert PROVIDERS_LIMIT not in answer.headers.values()
