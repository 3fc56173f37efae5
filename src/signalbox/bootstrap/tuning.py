"""What a data-plane process asks of the interpreter and of the C library once everything is loaded."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

try:
    import ctypes
except ImportError:  # an interpreter that was built without libffi
    ctypes = None

# The collector walks everything alive; what lives as long as the process is frozen, and the rest is walked rarely.
GC_THRESHOLDS = (20_000, 20, 50)
# How long a thread that syncs or asks the store may hold the interpreter while a request waits; 5 ms would be usual.
SWITCH_S = 0.0005
# By glibc's malloc.h. Blocks from the second size on are given back when they are freed, and so is what is free at the
# end of the heap beyond the first. glibc begins with 128 KiB for both and goes up to the largest block it has seen and
# to twice that: a body with an image is several times that together, so all of it was got from the kernel and given
# back anew for each, which took as long as all that is done with it.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
HEAP_BYTES_KEPT = 32 << 20


def tune() -> Callable[[], None]:
    """Once, before the first request and after all that lives as long as the process has been made. Returns what gives
    memory back that was kept for the next requests, for when there are none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_S)
    return _keep_heap()


def _keep_heap() -> Callable[[], None]:
    """Lets a worker that has had large bodies keep their memory for the next ones. Nothing to do but with glibc."""
    if ctypes is None or sys.platform != "linux":
        return lambda: None
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return lambda: None

    def give_back() -> None:
        library.malloc_trim(0)

    give_back()  # what loading has left
    library.mallopt(M_TRIM_THRESHOLD, HEAP_BYTES_KEPT)
    library.mallopt(M_MMAP_THRESHOLD, HEAP_BYTES_KEPT)
    return give_back
