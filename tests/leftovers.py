"""What calls leave to the garbage collector, which walks what is old so rarely that it is as good as kept."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from types import TracebackType


class Leftovers:
    """Within `with`, nothing is collected. found: what of the product could only be collected at its end, by name; the
    simulator's own, which runs beside it in tests, does not count."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()

    def __enter__(self) -> Leftovers:
        gc.collect()
        gc.disable()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            gc.collect()
            names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage)
            self.found.update(n for n in names if n.startswith("signalbox.") and ".simulator." not in n)
        finally:
            gc.garbage.clear()
            gc.set_debug(0)
            gc.enable()


def watched(failure: Exception, by: list[weakref.ref[Exception]]) -> Exception:
    """The failure, to be raised at once: whoever gives it a name keeps it. `by` tells whether anybody does."""
    by.append(weakref.ref(failure))
    return failure
