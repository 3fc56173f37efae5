"""Text cut anywhere between UTF-16 units comes out whole, whatever else comes in between."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from signalbox.wire.surrogates import INSTEAD, JoiningDecoder, mended

_CHARS = st.sampled_from('a\u00e9\u20ac\U0001f600\U00010400\\"u')
_TEXTS = st.lists(st.text(_CHARS, max_size=6), min_size=1, max_size=3)


def _units(text: str) -> list[str]:
    """The JSON escapes of a text's UTF-16 units."""
    raw = text.encode("utf-16-be")
    return [f"\\u{raw[at]:02x}{raw[at + 1]:02x}" for at in range(0, len(raw), 2)]


def _chunk(index: int, piece: str) -> bytes:
    choice = f'{{"index":{index},"delta":{{"content":"{piece}"}}}}'
    return f'data: {{"choices":[{choice}]}}\n\n'.encode()


@given(_TEXTS, st.data())
def test_any_cut_of_several_choices_is_joined(texts: list[str], data: st.DataObject) -> None:
    waiting = [_units(text) for text in texts]
    decoder = JoiningDecoder()
    events = decoder.feed(b'data: {"choices":[]}\n\n')
    while any(waiting):
        index = data.draw(st.sampled_from([at for at, units in enumerate(waiting) if units]))
        count = data.draw(st.integers(1, len(waiting[index])))
        events += decoder.feed(_chunk(index, "".join(waiting[index][:count])))
        del waiting[index][:count]
    events += decoder.feed(b"data: [DONE]\n\n")
    told = [""] * len(texts)
    for event in events[1:-1]:
        for choice in json.loads(event.data)["choices"]:
            told[choice["index"]] += choice["delta"]["content"]
    assert told == texts
    assert events[-1].data == b"[DONE]"
    assert decoder.idle


@given(st.lists(st.text(st.sampled_from("a\ud83d\ude00\udfff"), max_size=3), min_size=1, max_size=6))
def test_no_half_goes_on(pieces: list[str]) -> None:
    decoder = JoiningDecoder()
    sent = b"".join(_chunk(0, json.dumps(piece)[1:-1]) for piece in pieces) + b"data: [DONE]\n\n"
    texts = [json.loads(event.data)["choices"][0]["delta"]["content"] for event in decoder.feed(sent)[:-1]]
    "".join(texts).encode()
    assert len(texts) == len(pieces)
    joined = "".join(pieces).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert "".join(texts) == re.sub("[\ud800-\udfff]", INSTEAD, joined)


def test_what_has_no_half_is_the_same_object() -> None:
    for body in (b'{"a":"\\\\ud83d"}', b'{"a":"\\ud83d\\ude00"}', b"{}", b'{"a":"\\ud83d"'):
        assert mended(body) is body
    assert json.loads(mended(b'{"a":["\\ud83d",1]}')) == {"a": [INSTEAD, 1]}
