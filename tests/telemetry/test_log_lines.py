"""Log lines: one event a line in either form, bounded, and nothing in them that a terminal would obey."""

from __future__ import annotations

import asyncio
import gc
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.telemetry.log import FORMAT_VARIABLE, LINES_A_SECOND_MAX, Format, Log, told_of_tasks

VALUES = st.one_of(
    st.text('ab ="\\\n\r\x1b\x00\u202e\u200bé|', max_size=8),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
)


@given(st.sampled_from(["json", "text"]), st.dictionaries(st.sampled_from("abc"), VALUES))
def test_an_event_is_one_line_of_plain_characters(form: Format, fields: dict[str, str | int | float | None]) -> None:
    stream = io.StringIO()
    Log("test", stream, form).warning("it happened", **fields)
    line = stream.getvalue()
    assert len(line.splitlines()) == 1
    assert line.endswith("\n")
    assert "\x1b" not in line
    if form == "json":
        found = json.loads(line)
        assert found["event"] == "it happened"
        assert found["level"] == "warning"
        assert {name: found[name] for name in fields} == fields
    else:
        assert line.isascii()
        assert line[:-1].isprintable()


def test_lines_beyond_the_bound_are_counted_and_told() -> None:
    stream = io.StringIO()
    log = Log("test", stream)
    for _ in range(LINES_A_SECOND_MAX * 3):
        log.info("again")
    written = stream.getvalue().count("\n")
    assert LINES_A_SECOND_MAX <= written <= LINES_A_SECOND_MAX * 3
    assert log.dropped + sum('"again"' in line for line in stream.getvalue().splitlines()) == LINES_A_SECOND_MAX * 3


def test_the_environment_chooses_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setenv(FORMAT_VARIABLE, "text")
    Log("worker", stream).info("up", port=1)
    assert stream.getvalue().endswith("info    worker up port=1\n")
    monkeypatch.setenv(FORMAT_VARIABLE, "nonsense")
    Log("worker", stream).info("up")
    assert json.loads(stream.getvalue().splitlines()[-1])["event"] == "up"


def test_a_defect_tells_where_and_never_what() -> None:
    stream = io.StringIO()
    try:
        raise ValueError("sk-secret and the prompt")
    except ValueError as error:
        Log("test", stream).defect("request failed", error, request="req_1")
    assert "sk-secret" not in stream.getvalue()
    assert json.loads(stream.getvalue())["where"].startswith("test_log_lines.py:")


async def test_what_fails_in_the_background_tells_where_and_never_what(capfd: pytest.CaptureFixture[str]) -> None:
    async def fails() -> None:
        raise ValueError("canary: what somebody asked")

    stream, loop = io.StringIO(), asyncio.get_running_loop()
    loop.set_exception_handler(told_of_tasks(Log("test", stream)))
    try:
        task = loop.create_task(fails())
        await asyncio.wait((task,))
        del task
        gc.collect()
        loop.call_exception_handler({"message": "canary: of a loop"})
    finally:
        loop.set_exception_handler(None)
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert (first["event"], first["type"]) == ("a task failed", "ValueError")
    assert first["where"].startswith("test_log_lines.py:")
    assert second["event"] == "a task failed"
    assert "canary" not in stream.getvalue() + "".join(capfd.readouterr())
