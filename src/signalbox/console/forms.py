"""Forms as browsers send them, read within bounds."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

FORM_BYTES_MAX = 2 * 1024 * 1024
FIELDS_MAX = 200


class BadForm(ValueError):
    """The body is no form that is read here."""


async def read_form(request: Request) -> dict[str, str]:
    """Field to value, the last one where a name occurs twice. Raises BadForm."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise BadForm("A form is sent as application/x-www-form-urlencoded.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise BadForm(f"A form may have {FORM_BYTES_MAX} bytes at most.")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict", encoding="utf-8"
        )
    except ValueError:
        raise BadForm("The form cannot be read.") from None
    return dict(pairs)
