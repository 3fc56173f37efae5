"""Templates and static files: read from the package once, and rendered with everything escaped."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response

from signalbox.console import words
from signalbox.console.attempt_row import attempt_row

ROOM = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(ROOM / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=words.plain,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    # Their types name only what Jinja brings itself.
    filters, names = cast("dict[str, object]", made.filters), cast("dict[str, object]", made.globals)
    for function in (
        words.money, words.dollars, words.rate, words.exact, words.count, words.moment, words.ago, words.day_of,
        words.share, words.took, words.pace, words.short, words.fitted, attempt_row,
    ):  # fmt: skip
        filters[function.__name__] = function
    names |= {"query": query, "asset": asset}
    return made


def query(values: Mapping[str, object], **changes: object) -> str:
    """A query string: the values with changes, what is empty left out."""
    kept = {name: value for name, value in {**values, **changes}.items() if value not in (None, "", False)}
    return f"?{urlencode(kept)}" if kept else "?"


def render(template: str, **context: Any) -> str:
    return _templates.get_template(template).render(**context)


class Asset:
    """A static file with its type and a tag that changes with its content."""

    def __init__(self, path: Path) -> None:
        self.body = path.read_bytes()
        self.type = _TYPES[path.suffix]
        self.tag = hashlib.sha256(self.body).hexdigest()[:12]


_assets = {path.name: Asset(path) for path in sorted((ROOM / "static").iterdir()) if path.suffix in _TYPES}


def asset(name: str) -> str:
    """The address of a static file; a new content has a new one."""
    return f"/static/{name}?v={_assets[name].tag}"


async def static(request: Request) -> Response:
    found = _assets.get(request.path_params["name"])
    if found is None:
        return Response("There is no such file.\n", 404, media_type="text/plain")
    return Response(
        found.body, headers={"content-type": found.type, "cache-control": "public, max-age=31536000, immutable"}
    )


_templates = _environment()
