"""Forms as browsers send them, with or without a file, read within bounds."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from starlette.requests import Request

FORM_BYTES_MAX = 2 * 1024 * 1024
FIELDS_MAX = 200
UPLOAD_BYTES_MAX = 8 * 1024 * 1024
PARTS_MAX = 20
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"\r\n]{1,70})"|([^;,\s"]{1,70}))', re.IGNORECASE)
_FIELD = re.compile(rb';[ \t]*name="([^"\r\n]{1,100})"', re.IGNORECASE)


class BadForm(ValueError):
    """The body is no form that is read here."""


async def read_form(request: Request) -> dict[str, str]:
    """Field to value, the last one where a name occurs twice. Raises BadForm."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadForm("A form is sent as application/x-www-form-urlencoded.")
    body = await read_within(request, FORM_BYTES_MAX)
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict", encoding="utf-8"
        )
    except ValueError:
        raise BadForm("The form cannot be read.") from None
    return dict(pairs)


async def read_upload(request: Request) -> dict[str, str]:
    """The same of a form that may hold a file, whose field has the file's text. Raises BadForm."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "multipart/form-data":
        return await read_form(request)
    found = _BOUNDARY.search(kind)
    if found is None:
        raise BadForm("The form does not say where its parts end.")
    edge = b"\r\n--" + (found[1] or found[2]).encode()
    parts = (b"\r\n" + await read_within(request, UPLOAD_BYTES_MAX)).split(edge, PARTS_MAX + 1)
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise BadForm(f"The form cannot be read: it breaks off, or has more than {PARTS_MAX} parts.")
    return dict(_field(part) for part in parts[1:-1])


def _field(part: bytes) -> tuple[str, str]:
    head, blank, content = part.partition(b"\r\n\r\n")
    name = _FIELD.search(head)
    if not blank or name is None:
        raise BadForm("A part of the form has no name.")
    try:
        return name[1].decode("utf-8"), content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadForm("The file is no text in UTF-8.") from None


async def read_within(request: Request, bytes_max: int) -> bytes:
    """The body. Raises BadForm when it is longer."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise BadForm(f"At most {bytes_max} bytes are read here.")
    return bytes(body)
