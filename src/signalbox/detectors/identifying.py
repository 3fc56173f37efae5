"""What tells who somebody is or what is theirs, and so what pseudonyms take the place of."""

from __future__ import annotations

from signalbox.core.labels import TAG_BIT
from signalbox.detectors.table import DETECTORS

# Markings, secrets and code are no pseudonym's business.
TAGS = frozenset(("pci", "financial", "national-id", "personal", "phi"))
BITS = sum(TAG_BIT[tag] for tag in TAGS)
# The detectors that find it, by name, as workloads say which of them look.
NAMES = tuple(one.name for one in DETECTORS if not TAGS.isdisjoint(one.tags))
