"""What tells who somebody is or what is theirs, and so what pseudonyms take the place of."""

from __future__ import annotations

from signalbox.core.labels import TAG_BIT
from signalbox.detectors.scan import Scanner
from signalbox.detectors.table import DETECTORS

# Markings, secrets and code are no pseudonym's business.
TAGS = frozenset(("pci", "financial", "national-id", "personal", "phi"))
BITS = sum(TAG_BIT[tag] for tag in TAGS)
_FINDING = tuple(one for one in DETECTORS if not TAGS.isdisjoint(one.tags))
# By name, as workloads say which detectors look.
NAMES = tuple(one.name for one in _FINDING)
SCANNER = Scanner(_FINDING)
