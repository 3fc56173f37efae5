"""Data classes: one level and a set of tags, as small integers that compile to bitsets."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

LEVELS = ("public", "internal", "confidential", "restricted")
PUBLIC, INTERNAL, CONFIDENTIAL, RESTRICTED = range(4)

# Each tag and the lowest level that its presence implies.
TAGS: dict[str, int] = {
    "personal": CONFIDENTIAL,
    "special-category": RESTRICTED,
    "phi": RESTRICTED,
    "pci": RESTRICTED,
    "credentials": RESTRICTED,
    "national-id": RESTRICTED,
    "financial": CONFIDENTIAL,
    "source-code": CONFIDENTIAL,
    "export-controlled": RESTRICTED,
    "legal": CONFIDENTIAL,
    "children": RESTRICTED,
    "government": CONFIDENTIAL,
    "opaque": INTERNAL,
    # Card verification codes, PINs and track data, which nobody may keep once a payment is authorised.
    "pci-sad": RESTRICTED,
}
# Positions are kept in files and sent between versions: new tags are added at the end, none ever moves.
TAG_BIT: dict[str, int] = {name: 1 << i for i, name in enumerate(TAGS)}


class Labels(msgspec.Struct, frozen=True, gc=False):
    """level: 0..3, an index into LEVELS. tags: bitset over TAG_BIT. Hashable: it is the key of compiled rules."""

    level: int = PUBLIC
    tags: int = 0

    def __or__(self, other: Labels) -> Labels:
        """The union: labels are only ever raised."""
        return Labels(max(self.level, other.level), self.tags | other.tags)

    def names(self) -> tuple[str, ...]:
        """The level's name, then the tags' names, as users and the ledger see them."""
        found = _names.get(self)
        if found is None:
            found = (LEVELS[self.level], *(name for name, bit in TAG_BIT.items() if self.tags & bit))
            if len(_names) < NAMES_MAX:
                _names[self] = found
        return found


NONE = Labels()
# Names by labels, since every record spells them out and few combinations occur.
NAMES_MAX = 4096
_names: dict[Labels, tuple[str, ...]] = {}


def labels_of(names: Iterable[str]) -> Labels:
    """Labels from names, levels and tags mixed. Raises ValueError naming the first unknown one."""
    level, tags = PUBLIC, 0
    for name in names:
        if name in TAG_BIT:
            tags |= TAG_BIT[name]
            level = max(level, TAGS[name])
        elif name in LEVELS:
            level = max(level, LEVELS.index(name))
        else:
            raise ValueError(name)
    return Labels(level, tags)
