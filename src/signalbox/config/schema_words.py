"""What text in settings has to look like: names, regions, dates, addresses, amounts; part of config/schema.py."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta

# Where a name is used as text by clients, in headers and in the ledger, it has to be this plain.
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
# Names that mean something to clients already.
# `infra` is the workload under which the gateway books what it spends by itself.
RESERVED_NAMES = frozenset(("auto", "infra"))
Api = Literal["chat", "responses", "messages", "completions", "embeddings", "count_tokens", "scan"]
Level = Literal["public", "internal", "confidential", "restricted"]
# `extra` of a type: `hint` says its pattern in words; `reference` lets `${NAME}` stand in the text; `place` is for a
# path, relative to the folder of the configuration: `named` is only resolved, `watched` is read, so that its change is
# one of the configuration, and `certificates` has to hold some, in PEM; `document` lets a secret have lines.
Name = Annotated[
    str,
    Meta(pattern=NAME_PATTERN, extra={"hint": "a letter or digit, then letters, digits and . _ : / -; 128 at most"}),
]
Word = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        extra={"hint": "a lower-case letter or digit, then lower-case letters, digits and . _ -; 64 at most"},
    ),
]
Region = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9-]*(/[a-z0-9][a-z0-9-]*){0,7}$",
        max_length=128,
        extra={"hint": "lower-case parts with slashes between them, from wide to narrow, such as eu/de"},
    ),
]
Beta = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9._=-]{1,128}$", extra={"hint": "one name such as context-1m-2025-08-07, without commas"}),
]
Date = Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$", extra={"hint": "a date such as 2027-03-31", "date": True})]
TimeOfDay = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$", extra={"hint": "a time such as 16:30"})]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$", extra={"hint": "three capital letters such as EUR"})]
Text = Annotated[str, Meta(min_length=1, max_length=1024)]
PlaceName = Annotated[str, Meta(min_length=1, max_length=1024, extra={"place": "named"})]
FileName = Annotated[str, Meta(min_length=1, max_length=1024, extra={"place": "watched"})]
PemName = Annotated[str, Meta(min_length=1, max_length=1024, extra={"place": "certificates"})]
Url = Annotated[str, Meta(min_length=1, max_length=2048, extra={"reference": True})]
HeaderName = Annotated[
    str,
    Meta(
        pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$",
        extra={"hint": "the name of an HTTP header: letters, digits and dashes"},
    ),
]
HeaderValue = Annotated[
    str,
    Meta(
        pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,4094}[\x21-\x7e])?$",
        extra={"hint": "printable ASCII text without a space at either end"},
    ),
]
Seconds = Annotated[float, Meta(gt=0, le=86_400)]
Days = Annotated[int, Meta(ge=0, le=36_500)]
Share = Annotated[float, Meta(ge=0, le=1)]
Usd = Annotated[Decimal, Meta(extra={"hint": "an amount of dollars"})]
Count = Annotated[int, Meta(ge=1, le=10**15)]
