"""Settings of what the ledger keeps and for how long; part of config/schema.py."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_words import PemName, PlaceName
from signalbox.core.secret import Secret

_Days = Annotated[int, Meta(ge=1, le=36_500)]
_Text = Annotated[str, Meta(min_length=1, max_length=1024)]


class Anchor(Struct, frozen=True, forbid_unknown_fields=True):
    """An object store that speaks S3, to which every signed checkpoint goes as an object of its own. Read at the
    start."""

    url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=2048,
            description="The bucket and a prefix within it, such as https://anchors.s3.eu-central-1.amazonaws.com/box1 "
            "or https://minio.example.com/anchors/box1.",
        ),
    ]
    access_key: Annotated[Secret, Meta(description="The id of the credential; `${NAME}` and `file:`.")]
    secret_key: Annotated[Secret, Meta(description="Its secret; `${NAME}` and `file:`.")]
    region: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9-]{1,64}$",
            description="The region that requests are signed for.",
            extra={"hint": "a region such as eu-central-1"},
        ),
    ] = "us-east-1"
    lock_days: Annotated[
        _Days | None,
        Meta(description="Days for which the object store shall refuse to change or delete each object (object lock)."),
    ] = None
    lock_mode: Annotated[
        Literal["GOVERNANCE", "COMPLIANCE"], Meta(description="Who may lift that: some, or nobody.")
    ] = "COMPLIANCE"
    allow_private: Annotated[
        bool | None, Meta(description="Whether it may be at a private address; only where written as such, left out.")
    ] = None
    ca_file: Annotated[PemName | None, Meta(description="Certificates to trust instead of the system's.")] = None


class Capture(Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of requests and answers, in the database, encrypted under keys of their users and sessions:
    `signalbox ledger erase` destroys such a key, and with it all that was kept of that person."""

    bytes_max: Annotated[
        int, Meta(ge=1, le=4 << 20, description="Bytes of each request and of each answer; the rest is left out.")
    ] = 64 * 1024


class Ledger(Struct, frozen=True, forbid_unknown_fields=True):
    """What the ledger keeps. Read at the start."""

    retention_days: Annotated[
        _Days | None,
        Meta(description="Days before today of which attempts and refusals are kept one by one; all when left out."),
    ] = None
    sums_retention_days: Annotated[
        _Days | None,
        Meta(description="Days before today of which sums of spend and usage are kept; all when left out."),
    ] = None
    content_days: Annotated[
        _Days, Meta(description="Days before today of which captured content is kept; see `capture` of workloads.")
    ] = 30
    old_journals: Annotated[
        Literal["keep", "archive", "drop"],
        Meta(
            description="What becomes of journal files that the store has whole and nobody has written for "
            "`retention_days`: they stay, go into `archive`, or are removed. A signed checkpoint says so before."
        ),
    ] = "keep"
    archive: Annotated[PlaceName | None, Meta(description="The directory for `old_journals: archive`.")] = None
    anchor: Annotated[
        Anchor | None,
        Meta(description="Where checkpoints are kept besides, so that a rollback or a fork can be told."),
    ] = None
