"""What is found is the same in every process: workers, `explain` and a replay hash words each in their own way."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# More names, and more numbers of records, than a survey looks at.
_NAMES = "Peter Weir, John Murray, Alan Brown, Maria Lopez, Anna Kowalska, James Miller, Laura Smith, David Jones. "
_RECORD = "Nombre: Amanda. Apellidos: Nájera López. NHC: 3849675. NASS: 28 93464897 03. Diagnóstico: epilepsia. "
_PROGRAM = """
import sys
from signalbox.detectors.scan import scan, survey
for text in sys.argv[1:]:
    print([(one.detector, one.tag, one.start, one.end, one.kind) for one in (*scan(text), *survey(text))])
"""


@pytest.mark.parametrize("text", [_NAMES * 4, _RECORD * 3, f"{_NAMES}The patient has diabetes. {_RECORD}" * 3])
def test_findings_do_not_depend_on_the_process(text: str) -> None:
    told = {
        subprocess.run(
            [sys.executable, "-c", _PROGRAM, text],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4")
    }
    assert len(told) == 1
    assert "persons" in told.pop()
