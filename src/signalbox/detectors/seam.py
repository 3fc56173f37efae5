"""Text that is split over several parts: what to read besides them, so that no split hides a thing.

carry = ""
for part in parts:
    between, carry = seam(carry, part)
    labels |= classify(part) | classify(between)
"""

from __future__ import annotations

# Longer than any token, number or name that detectors know, private keys apart (their first line is enough).
SEAM_CHARS = 128


def seam(carry: str, part: str) -> tuple[str, str]:
    """(text around the joint before this part, empty at the first; what to carry to the next joint)."""
    between = carry + part[:SEAM_CHARS] if carry and part else ""
    return between, (carry + part)[-SEAM_CHARS:]
