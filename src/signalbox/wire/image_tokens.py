"""The most tokens that a provider counts for one image, by the model's name: what its own page says, at full size.

Formulas: developers.openai.com/api/docs/guides/images-vision ("Calculating costs"), platform.claude.com/docs/en/
build-with-claude/vision ("Evaluate image size"), ai.google.dev/gemini-api/docs/tokens; for open models the largest that
their processors make by default. A model that is not listed gets the most of those that may run at home.
"""

from __future__ import annotations

# (beginning of a model's name, tokens), the most specific first.
#   Tiles of 512 pixels after fitting into 2048 × 2048 and to 768 on the short side: 8 at most; base + 8 × each.
#   Patches of 32 pixels: 1,536 at most, times the model's factor.
_MOST: tuple[tuple[str, int], ...] = (
    ("gpt-4o-mini", 2_833 + 8 * 5_667),
    ("gpt-4.1-mini", 2_489),
    ("gpt-4.1-nano", 3_779),
    ("gpt-4o", 85 + 8 * 170),
    ("gpt-4.1", 85 + 8 * 170),
    ("gpt-4.5", 85 + 8 * 170),
    ("gpt-4-turbo", 85 + 8 * 170),
    ("gpt-5-mini", 2_489),
    ("gpt-5-nano", 3_779),
    ("gpt-5", 4_800),
    ("o4-mini", 2_642),
    ("o1", 75 + 8 * 150),
    ("o3", 75 + 8 * 150),
    ("computer-use-preview", 65 + 8 * 129),
    ("claude", 4_800),
    ("gemini", 16_384),
)
# Qwen2-VL and its kind: 16,384 patches of 28 pixels.
UNKNOWN_MODEL = 16_384


def image_tokens(model: str) -> int:
    """For any image at any detail."""
    name = model.lower().rpartition("/")[2]
    return next((most for start, most in _MOST if name.startswith(start)), UNKNOWN_MODEL)
