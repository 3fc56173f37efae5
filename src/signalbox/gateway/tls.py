"""TLS on the data plane's port: its context from files, and connections that know their client's certificate."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from pathlib import Path
from typing import Any, cast

import msgspec

from signalbox.config.schema_tls import Tls
from signalbox.core.errors import ConfigError
from signalbox.core.issuers import Certificate
from signalbox.gateway.http import Connection

NAMES_MAX = 100
NAME_CHARS_MAX = 512


class Listening(msgspec.Struct, frozen=True):
    """How connections are taken. trust: changes with whose client certificates are taken."""

    context: ssl.SSLContext
    trust: bytes


def listening(settings: Tls, where: str) -> Listening:
    """where: how messages name the settings. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    trust = b""
    try:
        # Without a password of ours an encrypted key would have the terminal asked for one.
        context.load_cert_chain(settings.certificate_file, settings.key_file, password=lambda: "")
    except (OSError, ValueError) as error:
        raise ConfigError([f"{where}: the certificate or its key cannot be used: {_why(error)}."]) from None
    if settings.client_ca_file is not None:
        try:
            trust = _trust(context, settings.client_ca_file)
        except (OSError, ValueError) as error:
            raise ConfigError([f"{where}: client_ca_file cannot be used: {_why(error)}."]) from None
        required = settings.client_certificates == "required"
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
        trust += bytes([required])
    return Listening(context, trust)


def _trust(context: ssl.SSLContext, file: str) -> bytes:
    content = Path(file).read_bytes()
    context.load_verify_locations(cafile=file)
    if b"-----BEGIN X509 CRL-----" in content:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return hashlib.sha256(content).digest()


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is not PEM").lower().replace("_", " ")
    return (error.strerror or "it cannot be read") if isinstance(error, OSError) else "it is not PEM"


class TlsConnection(Connection):
    """A client connection over TLS. certificate: its client's, None where it showed none."""

    __slots__ = ("certificate",)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        inside = cast("ssl.SSLObject | None", transport.get_extra_info("ssl_object"))
        self.certificate = shown_by(inside) if inside is not None else None
        super().connection_made(transport)


def shown_by(inside: ssl.SSLObject) -> Certificate | None:
    """What the client's certificate says of its holder; its authority was checked while it connected."""
    der = inside.getpeercert(binary_form=True)
    # Types as the standard library's documentation has them: its own say less.
    told = cast("dict[str, Any]", inside.getpeercert())
    if not der or "notAfter" not in told:
        return None
    names: tuple[tuple[str, str], ...] = told.get("subjectAltName", ())
    expires_s = ssl.cert_time_to_seconds(told["notAfter"])
    return Certificate(hashlib.sha256(der).digest(), _of(names, "URI"), _of(names, "DNS"), expires_s)


def _of(names: tuple[tuple[str, str], ...], kind: str) -> tuple[str, ...]:
    texts = [text for which, text in names[:NAMES_MAX] if which == kind]
    return tuple(text for text in texts if text.isprintable() and 0 < len(text) <= NAME_CHARS_MAX)
