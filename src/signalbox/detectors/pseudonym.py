"""What a pseudonym looks like, so that nobody who reads a text after pseudonyms were put in takes one for a name.

A token is its kind and five random characters, `PERSON_k7qdx`: nothing in it comes from the value.
"""

from __future__ import annotations

import re

# Without vowels and look-alikes, so that no token is a word or is read wrongly.
ALPHABET = "bcdfghjkmnpqrstvwxz23456789"
CODE_CHARS = 5
KINDS = ("PERSON", "EMAIL", "PHONE", "CARD", "ACCOUNT", "ID", "IP", "PLACE", "DATE")
# What stands before one in JSON may be the letter of an escape.
_WRITTEN = re.compile(rf"(?:{'|'.join(KINDS)})_[{ALPHABET}]{{{CODE_CHARS}}}(?![A-Za-z0-9])".encode())


def blanked(body: bytes) -> bytes:
    """A JSON body with blanks for its tokens."""
    return _WRITTEN.sub(lambda token: b" " * len(token[0]), body)
