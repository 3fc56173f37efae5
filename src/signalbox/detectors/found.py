"""What detectors return: spans of a text, each with the label it stands for."""

from __future__ import annotations

import msgspec

# At and above this confidence a finding raises labels; below it, it is reported for explanation only.
RAISES = 0.5

# No detector returns more findings than this for one text: a count beyond it tells nobody anything new.
FOUND_MAX = 1000


class Found(msgspec.Struct, frozen=True, gc=False):
    """One finding. tag: a tag or level of core.labels. start, end: character offsets into the text as given.

    confidence: 0..1, calibrated by hand, comparable between detectors. kind: what exactly, such as `visa` or
    `es-dni`; stable, for reports and for pseudonyms, never a value.
    """

    detector: str
    tag: str
    start: int
    end: int
    confidence: float
    kind: str = ""
