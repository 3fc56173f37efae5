"""Every file in cases/: what is wrong with it, told exactly, stands beside it; a good one has nothing beside it.

To add a case, add its .yaml; `pytest tests/config/test_config_cases.py --update-config-cases` is deliberately not
offered: write the expected lines by hand, or run `python tests/config/test_config_cases.py` and read what it wrote.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from signalbox.config.load import load_text
from signalbox.core.errors import ConfigError

CASES = Path(__file__).parent / "cases"
ENVIRON = {"SET_KEY": "sk-canary-4711", "SET_NAME": "name", "EMPTY": "", "TWO_LINES": "sk-canary\n4711"}


def findings(case: Path) -> str:
    """What reading says, with the folder left out of it."""
    try:
        load_text(case.read_bytes(), str(case), ENVIRON)
    except ConfigError as error:
        return "".join(f"{problem}\n" for problem in error.problems).replace(f"{CASES}/", "")
    return ""


@pytest.mark.parametrize("case", sorted(CASES.glob("*.yaml")), ids=lambda case: case.stem)
def test_a_file_is_judged_as_the_text_beside_it_says(case: Path) -> None:
    expected = case.with_suffix(".errors")
    found = findings(case)
    assert found == (expected.read_text() if expected.exists() else "")
    assert expected.exists() != case.stem.startswith("good-")
    assert "canary" not in found
    assert "s3cret" not in found


def test_there_are_cases() -> None:
    assert len(list(CASES.glob("*.errors"))) >= 40


if __name__ == "__main__":
    for path in sorted(CASES.glob("*.yaml")):
        if text := findings(path):
            path.with_suffix(".errors").write_text(text)
            sys.stdout.write(text)
