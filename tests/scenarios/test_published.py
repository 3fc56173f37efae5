"""The published sixteen, shortened, on every endpoint: nothing of them may end badly."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from scenarios.published import PROFILES, SCENARIOS, Outcome, play
from signalbox.control.transcripts import PATHS

# S15 is about a minute, and about a breaker's patience: it runs with `python -m benchmarks.scenarios`.
SHORT = tuple(each for each in SCENARIOS if each.name != "S15")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Outcome]:
    folder: Path = tmp_path_factory.mktemp("published")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        played = runner.run(play(folder, SHORT, PATHS, PROFILES, 0.05))
    return {(each.scenario, each.api, each.profile): each for each in played}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("scenario", [each.name for each in SHORT])
def test_it_ends_well(outcomes: dict[tuple[str, str, str], Outcome], scenario: str, api: str, profile: str) -> None:
    each = outcomes[scenario, api, profile]
    # `partial` is an answer that took longer than published: on a loaded machine time alone makes that.
    assert each.rank in ("pass", "partial"), each.note
