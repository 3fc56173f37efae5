"""Steps of the schema are never edited: what a database has been through must be what this version believes."""

from hashlib import sha256

from signalbox.store.migrations import MIGRATIONS

# Append the line of a new step; never change one.
STEPS = [
    ("attempts, refusals, shipping, keys, facts", "37677e4740bea2f7"),
    ("where labels came from", "27e2daf2144c946f"),
    ("whom attempts are for, rare usage, service tiers", "f236ed716d8dc7dc"),
    ("budgets: what is spent, and what is leased", "2b8a8d8e8b67b9de"),
    ("roles and scopes of keys", "281151f60e3d0109"),
    ("spend by hour", "80fea593125d9c50"),
    ("spend by day", "765944080d8e1f54"),
    ("how urgent a key is", "8b548b0218613ec7"),
    ("where labels went, by day", "7ffb8ad97178be38"),
    ("pages of refusals", "93973063ebde54fa"),
    ("what kept answers saved", "28c55f8087f2789d"),
    ("what guards said", "ff173be6349aba74"),
    ("attempts that have ended, by day; spend by user and session", "a0dc479a40c1cc0d"),
    ("what conversations keep sealed", "a6f660f1bb5110fa"),
    ("captured content, and the keys of whom it is about", "bdfdfd926e0c8d61"),
    ("sums by numbers of names", "2e83afd5d4754aa2"),
    ("sums of sessions by hour, side by side", "7903c8148030067b"),
    ("which rules refused", "362822a4d99794d5"),
    ("what guards said of calls that were refused", "dd5dd61865940f76"),
    ("whose budget a rotated key spends", "420a6be125936252"),
    ("sums of the last hours, in one table", "393d870567ffd1cb"),
]


def test_no_step_was_edited() -> None:
    told = [
        (name, sha256("\n".join(" ".join(words.split()) for words in statements).encode()).hexdigest()[:16])
        for name, statements in MIGRATIONS
    ]
    assert told == STEPS
