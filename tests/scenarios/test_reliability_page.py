"""docs/reliability.md tells of every fault, and of each no better end than its row allows."""

import re
from pathlib import Path

from scenarios.published import SCENARIOS
from signalbox.control.fault_rows import ROWS

PAGE = (Path(__file__).parents[2] / "docs" / "reliability.md").read_text()
SAID = {"whole": "whole", "error": "status", "cut": "cut"}


def test_each_row_is_told_as_it_is_tested() -> None:
    told = {cells[2].strip("` "): cells for line in PAGE.splitlines() if len(cells := line.split("|")) == 10}
    for row in ROWS:
        cells = told[row.name]
        assert int(cells[1]) == row.number
        ends = [{SAID[word] for word in re.findall(r"\w+", cell) if word != "or"} for cell in cells[4:9]]
        for seen, allowed in zip(
            ends, (row.alone, row.backed, row.rescued, row.unary_alone, row.unary_backed), strict=True
        ):
            assert seen <= allowed, row.name


def test_each_published_fault_is_told() -> None:
    for scenario in SCENARIOS:
        assert f"| {scenario.name} | {scenario.what} |" in PAGE
