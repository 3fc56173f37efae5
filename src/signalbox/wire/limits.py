"""What a deployment cannot take of a request that is translated for it, refused in words that name the parameter."""

from __future__ import annotations

from signalbox.core.errors import Unsupported
from signalbox.core.hub import Image, Message, Request, ToolResult
from signalbox.wire.dialect import Target


def refuse_what_target_cannot(request: Request, target: Target, protocol: str) -> None:
    """Raises Unsupported. protocol: where the request would be carried, as in `the Responses API`."""
    if request.n is not None and request.n > 1:
        raise Unsupported(f"'n' above 1 cannot be carried to {protocol}.", param="n")
    if request.tools and not target.tools:
        raise Unsupported(f"The deployment of '{target.model}' takes no tools.", param="tools")
    form = request.output_format
    if form is not None and form.kind == "json_schema" and not target.json_schema:
        raise Unsupported(f"The deployment of '{target.model}' takes no JSON schema.", param="response_format")
    if not target.images and any(_has_image(message) for message in request.messages):
        raise Unsupported(f"The deployment of '{target.model}' takes no images.", param="messages")


def _has_image(message: Message) -> bool:
    for part in message.parts:
        if isinstance(part, Image):
            return True
        if isinstance(part, ToolResult) and any(isinstance(inner, Image) for inner in part.parts):
            return True
    return False
