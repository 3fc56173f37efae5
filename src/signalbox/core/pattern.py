"""Regular expressions that are compiled when they are first used: of hundreds, a process that starts needs few."""

from __future__ import annotations

import re
from typing import Any, AnyStr, cast


def compiled_later(pattern: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """As re.compile, and as quick from the second use on. What is wrong with it is told at the first."""
    return cast("re.Pattern[AnyStr]", _Later(pattern, flags))


class _Later:
    def __init__(self, pattern: str | bytes, flags: int) -> None:
        self._made_of = pattern, flags

    def __getattr__(self, name: str) -> Any:
        # Asked only for what the instance does not hold yet; `re` remembers what was compiled meanwhile.
        pattern, flags = self._made_of
        found = getattr(re.compile(pattern, flags), name)
        setattr(self, name, found)
        return found
