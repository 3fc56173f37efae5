"""Chat completions streams, to and from hub events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from signalbox.core.hub import (
    Event,
    Finished,
    PartDone,
    RefusalDelta,
    Request,
    Started,
    Text,
    TextDelta,
    ThinkingDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.wire.openai_chat_answer import (
    answer_id,
    finish_reason_of,
    made_up_id,
    read_content,
    read_created,
    read_finish,
    write_call,
)
from signalbox.wire.openai_chat_model import BAD_JSON, Answered, Called, Choice, decode_answer, is_utf8
from signalbox.wire.openai_chat_watch import ChatObserver
from signalbox.wire.openai_errors import DONE
from signalbox.wire.openai_usage import write_usage
from signalbox.wire.responses_answer import CUT

_encode = msgspec.json.Encoder().encode

PARTS_MAX = 4096
FREEFORM_CHARS_MAX = 16 * 1024 * 1024

_TEXT, _THINKING, _REFUSAL = range(3)


class _Tool:
    """A tool call under way. part: the hub's number of it, -1 until its name is known. held: arguments until then."""

    __slots__ = ("held", "id", "name", "part")

    def __init__(self) -> None:
        self.part = -1
        self.id = ""
        self.name = ""
        self.held = ""


class ChatReader:
    """One choice, as was asked for. Parts are numbered as they appear: text, thinking and refusal end when another
    kind begins; tool calls stay open until then or the end, since their pieces may interleave."""

    __slots__ = ("_finished", "_id", "_kind", "_parts", "_refused", "_started", "_tools", "_tools_seen", "_watch")

    def __init__(self) -> None:
        self._watch = ChatObserver()
        self._started = False
        self._finished = False
        self._id = ""
        self._kind = -1
        self._parts = 0
        self._tools: dict[int, _Tool] = {}
        self._tools_seen = 0
        self._refused = False

    def read(self, event: SseEvent) -> tuple[list[Event], Seen]:
        """Raises ValueError for an event that does not continue the answer as the API says."""
        try:
            answer = decode_answer(event.data)
        except msgspec.ValidationError as error:
            # `[DONE]` starts like a JSON array, which is enough for the decoder to call it the wrong type.
            if event.data.startswith(b"[DONE"):
                return [], self._watch.not_json(event)
            raise ValueError("an event is not of the API's shape") from error
        except BAD_JSON:
            return [], self._watch.not_json(event)
        if not is_utf8(event.data):
            return [], Seen(ok=False)
        seen = self._watch.note(answer, event)
        out: list[Event] = []
        if answer.choices:
            if not self._started:
                self._started = True
                self._id = answer.id or ""
                out.append(Started(self._id, answer.model or "", read_created(answer.created)))
            for choice in answer.choices:
                self._choice(choice, out)
        return out, seen

    def _choice(self, choice: Choice, out: list[Event]) -> None:
        if choice.index != 0:
            raise ValueError("the answer has more choices than were asked for")
        if self._finished:
            return
        if choice.delta is not None:
            self._delta(choice.delta, out)
        elif choice.text:
            self._say(_TEXT, choice.text, out)
        if choice.finish_reason:
            self._finish(choice, out)

    def _delta(self, delta: Answered, out: list[Event]) -> None:
        if delta.function_call is not None or delta.audio is not None:
            raise ValueError("the answer holds what was not asked for")
        thought = delta.reasoning_content or delta.reasoning
        if thought:
            self._say(_THINKING, thought, out)
        if delta.content:
            if isinstance(delta.content, str):
                self._say(_TEXT, delta.content, out)
            else:
                for part in read_content(delta.content):
                    if part.text:
                        self._say(_TEXT if isinstance(part, Text) else _THINKING, part.text, out)
        if delta.refusal:
            self._refused = True
            self._say(_REFUSAL, delta.refusal, out)
        for call in delta.tool_calls or ():
            self._tool(call, out)

    def _say(self, kind: int, said: str, out: list[Event]) -> None:
        if kind != self._kind:
            self._close(out)
            self._kind = kind
            self._next_part()
        part = self._parts - 1
        if kind == _TEXT:
            out.append(TextDelta(part, said))
        elif kind == _THINKING:
            out.append(ThinkingDelta(part, said))
        else:
            out.append(RefusalDelta(part, said))

    def _next_part(self) -> int:
        if self._parts >= PARTS_MAX:
            raise ValueError("the answer has too many parts")
        self._parts += 1
        return self._parts - 1

    def _close(self, out: list[Event]) -> None:
        """Ends whatever is open."""
        if self._kind >= 0:
            out.append(PartDone(self._parts - 1))
            self._kind = -1
        for tool in self._tools.values():
            if tool.part < 0:
                raise ValueError("a tool call has no name")
            out.append(PartDone(tool.part))
        self._tools.clear()

    def _tool(self, call: Called, out: list[Event]) -> None:
        if self._kind >= 0:
            self._close(out)
        tool = self._tool_of(call)
        function = call.function
        if call.id and not tool.id:
            tool.id = call.id
        if function is None:
            return
        if tool.part >= 0:
            if function.arguments:
                out.append(ToolDelta(tool.part, function.arguments))
            return
        tool.name = tool.name or function.name or ""
        tool.held += function.arguments or ""
        # An id may come later than the name, but not later than the arguments.
        if tool.name and (tool.id or tool.held):
            self._start_tool(tool, out)

    def _start_tool(self, tool: _Tool, out: list[Event]) -> None:
        tool.part = self._next_part()
        tool.id = tool.id or made_up_id(self._id, self._tools_seen)
        out.append(ToolStarted(tool.part, tool.id, tool.name))
        if tool.held:
            out.append(ToolDelta(tool.part, tool.held))
            tool.held = ""

    def _tool_of(self, call: Called) -> _Tool:
        """The call that a piece belongs to: by index. Some servers give every call the same index or none; there
        another id begins another call."""
        index = call.index
        if index is None:
            index = max(self._tools, default=0)
        tool = self._tools.get(index)
        if tool is not None and call.id and tool.id and call.id != tool.id:
            if call.function is None or not call.function.name:
                raise ValueError("a tool call changes its id")
            index = max(self._tools) + 1
            tool = None
        if tool is None:
            if self._tools_seen >= PARTS_MAX:
                raise ValueError("the answer has too many parts")
            self._tools_seen += 1
            tool = self._tools[index] = _Tool()
        return tool

    def _finish(self, choice: Choice, out: list[Event]) -> None:
        for tool in self._tools.values():
            if tool.part < 0 and tool.name:
                self._start_tool(tool, out)
        self._close(out)
        self._finished = True
        reason, sequence = read_finish(choice, tools=self._tools_seen > 0, refused=self._refused)
        out.append(Finished(reason, sequence))


class ChatWriter:
    """Chunks are put together from bytes that stay the same for the whole answer and the encoded delta.

    Arguments of freeform tools are held back until they are whole, because the wrapper around them can only be taken
    off then.
    """

    __slots__ = (
        "_bare",
        "_bare_ended",
        "_dropped",
        "_finish",
        "_freeform",
        "_head",
        "_held",
        "_held_chars",
        "_include_usage",
        "_prefix",
        "_refused",
        "_started",
        "_tools",
        "_tools_seen",
    )

    def __init__(self, request: Request, response_id: str, created_s: int) -> None:
        name = _encode(answer_id(response_id))
        self._head = b'data: {"id":%b,"object":"chat.completion.chunk","created":%d,"model":' % (name, created_s)
        self._prefix = b""
        self._include_usage = request.include_usage
        self._freeform = frozenset(tool.name for tool in request.tools if tool.freeform)
        self._started = False
        self._finish = ""
        self._dropped = False
        self._refused = False
        self._tools: dict[int, int] = {}
        self._tools_seen = 0
        self._held: dict[int, tuple[ToolStarted, list[str]]] = {}
        self._held_chars = 0
        # Calls that were told no arguments yet: under way, and over. Clients parse what they were told as JSON.
        self._bare: set[int] = set()
        self._bare_ended: list[int] = []

    def write(self, events: Sequence[Event]) -> bytes:
        """Raises ValueError for arguments of a tool call that was not started, or too many of them to hold back."""
        out: list[bytes] = []
        for event in events:
            if self._bare_ended and not isinstance(event, PartDone | Finished):
                self._complete_bare(out)
            if isinstance(event, TextDelta):
                self._delta(b'{"content":%b}' % _encode(event.text), out)
            elif isinstance(event, ToolDelta):
                self._arguments(event, out)
            elif isinstance(event, ThinkingDelta):
                if event.text:
                    self._delta(b'{"reasoning_content":%b}' % _encode(event.text), out)
                self._dropped = self._dropped or event.redacted is not None
            elif isinstance(event, ToolStarted):
                self._tool(event, out)
            elif isinstance(event, PartDone):
                self._release(event.index, out)
            elif isinstance(event, Started):
                self._start(event.model, out)
            elif isinstance(event, RefusalDelta):
                self._refused = True
                self._delta(b'{"refusal":%b}' % _encode(event.text), out)
            else:
                self._finished(event, out)
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """`[DONE]`, after the usage for a client that asked. Without a Finished before it the answer is not whole,
        and ends as one that was cut."""
        out: list[bytes] = []
        if not self._finish:
            self._finished(Finished("error"), out)
        if self._dropped:
            # The head with its `x-signalbox-dropped` left before the answer came; clients pass comments over.
            out.append(b": x-signalbox-dropped: thinking\n\n")
        if self._include_usage:
            out.append(b'%b[],"usage":%b}\n\n' % (self._prefix, _encode(write_usage(usage))))
        out.append(DONE)
        return b"".join(out)

    def _start(self, model: str, out: list[bytes]) -> None:
        """Once an answer, however many upstreams it took."""
        if self._started:
            return
        self._started = True
        self._prefix = b'%b%b,"choices":' % (self._head, _encode(model))
        self._delta(b'{"role":"assistant","content":"","refusal":null}', out)

    def _delta(self, delta: bytes, out: list[bytes]) -> None:
        if not self._started:
            self._start("", out)
        out.append(b'%b[{"index":0,"delta":%b,"logprobs":null,"finish_reason":null}]}\n\n' % (self._prefix, delta))

    def _tool(self, event: ToolStarted, out: list[bytes]) -> None:
        index = self._tools[event.index] = self._tools_seen
        self._tools_seen += 1
        if event.name in self._freeform:
            self._held[event.index] = (event, [])
            return
        self._bare.add(event.index)
        function = {"name": event.name, "arguments": ""}
        self._call({"index": index, "id": event.id, "type": "function", "function": function}, out)

    def _arguments(self, event: ToolDelta, out: list[bytes]) -> None:
        held = self._held.get(event.index)
        if held is not None:
            held[1].append(event.arguments)
            self._held_chars += len(event.arguments)
            if self._held_chars > FREEFORM_CHARS_MAX:
                raise ValueError("the input of a freeform tool is too long to hold back")
            return
        index = self._tools.get(event.index)
        if index is None:
            raise ValueError("arguments of a tool call that was not started")
        if event.arguments:
            self._bare.discard(event.index)
        self._told(index, event.arguments, out)

    def _told(self, index: int, arguments: str, out: list[bytes]) -> None:
        self._delta(b'{"tool_calls":[{"index":%d,"function":{"arguments":%b}}]}' % (index, _encode(arguments)), out)

    def _complete_bare(self, out: list[bytes]) -> None:
        """Gives each call that ended without arguments the empty object that it means."""
        for part in self._bare_ended:
            self._told(self._tools[part], "{}", out)
        self._bare_ended.clear()

    def _call(self, call: dict[str, Any], out: list[bytes]) -> None:
        self._delta(b'{"tool_calls":[%b]}' % _encode(call), out)

    def _release(self, part: int, out: list[bytes]) -> None:
        """A freeform tool's call, all at once."""
        if part in self._bare:
            self._bare.discard(part)
            self._bare_ended.append(part)
        held = self._held.pop(part, None)
        if held is not None:
            started, pieces = held
            call = ToolCall(started.id, started.name, "".join(pieces))
            self._call({"index": self._tools[part], **write_call(call, self._freeform)}, out)

    def _finished(self, event: Finished, out: list[bytes]) -> None:
        if self._finish:
            return
        if not self._started:
            self._start("", out)
        for part in list(self._held):
            self._release(part, out)
        if event.reason in CUT and self._bare_ended and self._bare_ended[-1] == next(reversed(self._tools)):
            # What the cut met is not whole: it may have had arguments to come.
            self._bare_ended.pop()
        self._complete_bare(out)
        self._finish = finish_reason_of(event.reason, refused=self._refused)
        out.append(
            b'%b[{"index":0,"delta":{},"logprobs":null,"finish_reason":"%b"}]}\n\n'
            % (self._prefix, self._finish.encode())
        )
