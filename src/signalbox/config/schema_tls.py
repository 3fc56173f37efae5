"""Settings of TLS on the data plane, and of the certificates that workloads may call with."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from signalbox.config.schema_words import FileName, PemName

_Text = Annotated[str, Meta(min_length=1, max_length=512)]
_Name = Annotated[str, Meta(min_length=1, max_length=128)]


class Tls(Struct, frozen=True, forbid_unknown_fields=True):
    """TLS 1.2 and 1.3 on the data plane's port. The files are read anew when they change; what is open goes on."""

    certificate_file: Annotated[PemName, Meta(description="The server's certificate and what it chains to, PEM.")]
    key_file: Annotated[FileName, Meta(description="Its private key, PEM, not encrypted.")]
    client_ca_file: Annotated[
        PemName | None,
        Meta(
            description="Authorities whose client certificates are taken, PEM; with revocation lists among them, every "
            "client certificate is held against those. None are asked for without it."
        ),
    ] = None
    client_certificates: Annotated[
        Literal["asked", "required"],
        Meta(
            description="asked: a client may come without one and show a key. required: it may not even connect, and "
            "neither may health checks."
        ),
    ] = "asked"


class Holder(Struct, frozen=True, forbid_unknown_fields=True):
    """Whose client certificates call in place of a virtual key, by the names that their authority put in them."""

    uris: Annotated[
        list[_Text],
        Meta(max_length=1000, description="URI names, such as spiffe://example.org/app; `/*` at the end: all below."),
    ] = []
    names: Annotated[list[_Text], Meta(max_length=1000, description="DNS names, each in full.")] = []
    tenant: Annotated[_Name, Meta(description="The tenant of their calls.")] = "default"
    team: Annotated[str, Meta(max_length=128, description="The team of their calls.")] = ""
    workloads: Annotated[
        list[_Name], Meta(max_length=1000, description="Workloads they may use; empty for all of their tenant.")
    ] = []
    data: Annotated[list[_Name], Meta(max_length=100, description="Data classes their calls have at the least.")] = []
