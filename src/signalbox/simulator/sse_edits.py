"""Ways to spoil a stream of server-sent events: each takes the events one by one and gives them back changed."""

from __future__ import annotations

from collections.abc import Iterator

from signalbox.simulator.model import FRAME, Step
from signalbox.simulator.plan import Edit


def _nth(number: int, change: Edit) -> Edit:
    """Applies `change` to the number-th event that has bytes, counted from 1."""

    def edit(steps: Iterator[Step]) -> Iterator[Step]:
        seen = 0
        for step in steps:
            seen += bool(step[0])
            if seen == number and step[0]:
                yield from change(iter((step,)))
            else:
                yield step

    return edit


def bad_json(number: int) -> Edit:
    def spoil(steps: Iterator[Step]) -> Iterator[Step]:
        for data, kind in steps:
            yield data.rstrip(b"\n")[:-2] + b"\n\n", kind

    return _nth(number, spoil)


def no_blank_line(number: int) -> Edit:
    def spoil(steps: Iterator[Step]) -> Iterator[Step]:
        for data, kind in steps:
            yield data.removesuffix(b"\n"), kind

    return _nth(number, spoil)


def padded(number: int, size: int) -> Edit:
    def spoil(steps: Iterator[Step]) -> Iterator[Step]:
        for data, kind in steps:
            body = data.removesuffix(b"}\n\n")
            yield body + b',"padding":"' + b"x" * max(0, size - len(body) - 14) + b'"}\n\n', kind

    return _nth(number, spoil)


def replaced(old: bytes, new: bytes) -> Edit:
    def edit(steps: Iterator[Step]) -> Iterator[Step]:
        for data, kind in steps:
            yield data.replace(old, new), kind

    return edit


def prefixed(prefix: bytes) -> Edit:
    def edit(steps: Iterator[Step]) -> Iterator[Step]:
        yield prefix, FRAME
        yield from steps

    return edit


def no_space(steps: Iterator[Step]) -> Iterator[Step]:
    for data, kind in steps:
        yield data.replace(b"data: ", b"data:").replace(b"event: ", b"event:"), kind


def comments(steps: Iterator[Step]) -> Iterator[Step]:
    for data, kind in steps:
        yield (b": simulator\n\n" + data if data else data), kind


def without_last(steps: Iterator[Step]) -> Iterator[Step]:
    held: Step | None = None
    for step in steps:
        if held is not None:
            yield held
        held = step


def last_twice(steps: Iterator[Step]) -> Iterator[Step]:
    last: Step | None = None
    for step in steps:
        yield step
        last = step
    if last is not None:
        yield last[0], FRAME


def content_after_last(steps: Iterator[Step]) -> Iterator[Step]:
    """The repeated event counts as no token: nothing was generated for it."""
    content = b""
    for data, kind in steps:
        yield data, kind
        if kind != FRAME and data:
            content = data
    yield content, FRAME


def error_after(tokens: int, event: bytes) -> Edit:
    def edit(steps: Iterator[Step]) -> Iterator[Step]:
        generated = 0
        for data, kind in steps:
            if generated >= tokens and (tokens or kind != FRAME):
                break
            yield data, kind
            generated += kind != FRAME
        yield event, FRAME

    return edit
