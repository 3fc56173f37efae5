"""The same content in other clothes: invisible characters, look-alikes, encodings, spacing and splits over parts."""

from __future__ import annotations

import base64
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.labels import NONE
from signalbox.detectors.found import RAISES
from signalbox.detectors.normalise import given as given_offset
from signalbox.detectors.normalise import normal
from signalbox.detectors.scan import classify, scan
from signalbox.detectors.seam import seam

SENTENCES = {
    "pci": "please charge card 4111 1111 1111 1111 today",
    "financial": "send it to IBAN DE89 3704 0044 0532 0130 00 today",
    "personal": "write to maria.gonzalez@example.org about it",
    "national-id": "her SSN is 219-09-9999 as you know",
    "credentials": "use ghp_a8Kd93kfLs02mXz81QpWv7Rt5Yb3Nc6Ue4Hj for it",
}
FULLWIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
BOLD = {48 + i: 0x1D7CE + i for i in range(10)}
ARABIC = {48 + i: 0x660 + i for i in range(10)}
DISGUISES = {
    "plain": lambda text: text,
    "zero-width": lambda text: "\u200b".join(text),
    "joiners": lambda text: text.replace("1", "1\u2060").replace("e", "e\u200d"),
    "soft hyphens": lambda text: text.replace("1", "1\u00ad").replace("a", "a\u00ad"),
    "variation selectors": lambda text: "\ufe0f".join(text),
    "fullwidth": lambda text: text.translate(FULLWIDTH),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0"),
    "figure spaces": lambda text: text.replace(" ", "\u2007"),
    "odd dashes": lambda text: text.replace("-", "\u2011"),
    "tags": lambda text: "hello " + "".join(chr(0xE0000 + ord(char)) for char in text),
    "base64": lambda text: "decode " + base64.b64encode(text.encode()).decode() + " now",
    "base64 without padding": lambda text: base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode(),
    "base64 twice": lambda text: base64.b64encode(base64.b64encode(text.encode())).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16-le")).decode(),
    "hexadecimal": lambda text: "0x " + text.encode().hex(),
    "URL-encoded": lambda text: "q=" + quote(text, safe=""),
    "all percent": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "JSON escapes": lambda text: '{"a": "' + "".join(f"\\u{ord(char):04x}" for char in text) + '"}',
    "HTML entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "in a data URL": lambda text: "data:text/plain;base64," + base64.b64encode(text.encode()).decode(),
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("tag", SENTENCES)
def test_disguised_text_gets_the_same_label(tag: str, disguise: str) -> None:
    assert tag in classify(DISGUISES[disguise](SENTENCES[tag])).names()


# What a browser leaves of a value in a URL: one sign of it escaped, the rest as it was.
ONE_ESCAPE = {
    "email": ("personal", "see https://example.org/leave?u=maria.gonzalez%40example.org"),
    "email link": ("personal", "mailto:maria.gonzalez%40example.org"),
    "phone": ("personal", "https://chat.example.org/send?phone=%2B4930901820199"),
    "assigned": ("credentials", "https://example.org/go?next=password%3DhX72kq9zpQ"),
    "address with a password": ("credentials", "postgres://anna%3AhX72kq9zpQ@db.example.org/books"),
}


@pytest.mark.parametrize("one", ONE_ESCAPE)
def test_one_escape_in_a_url_hides_nothing(one: str) -> None:
    tag, text = ONE_ESCAPE[one]
    assert tag in classify(text).names()


@pytest.mark.parametrize("text", ['printf("%3d items", n)', "a line of 100%40 wide", "x=%2B and y=%3A", "50%3d"])
def test_formats_and_lone_escapes_say_nothing(text: str) -> None:
    assert classify(text) == NONE


@pytest.mark.parametrize("digits", [BOLD, ARABIC, {48: ord("O")}, {49: ord("l")}, {48: ord("O"), 49: ord("I")}])
def test_other_digits(digits: dict[int, int]) -> None:
    assert "pci" in classify("card 5105105105105100".translate(digits)).names()


def test_look_alikes_of_other_scripts() -> None:
    assert "credentials" in classify("pаsswоrd = 'hX72kq9z!pQ'").names()  # Cyrillic а and о
    assert "restricted" in classify("ТОР SЕСRЕТ\nplan").names()


@pytest.mark.parametrize(
    "text",
    ["Привет, как дела? 2024 год", "Καλημέρα σε όλους", "東京は今日も晴れ", "naïve café — “déjà vu”", "مرحبا 2024"],
)
def test_other_scripts_are_read_as_they_are(text: str) -> None:
    assert classify(text) == NONE
    plain, _ = normal(text)
    assert len(plain) == len(text)


@given(st.text(st.sampled_from("a1 -é\u200b\u00ad\uff11ж\ufe0f\U000e0041\u2011"), max_size=60))
@settings(max_examples=300, deadline=None)
def test_offsets_point_into_the_text_as_given(text: str) -> None:
    plain, dropped = normal(text)
    if dropped is None:
        assert len(plain) == len(text)
        return
    at = [given_offset(dropped, index) for index in range(len(plain))]
    assert at == sorted(set(at))
    for index, origin in enumerate(at):
        assert normal(text[origin])[0] == plain[index]


@given(st.integers(0, 40), st.sampled_from(["\u200b", "\ufe0f", "\u00ad"]))
@settings(max_examples=60, deadline=None)
def test_spans_of_disguised_numbers(at: int, invisible: str) -> None:
    text = "please charge 4111111111111111 today, thanks"
    text = text[:at] + invisible + text[at:]
    (found,) = [one for one in scan(text) if one.tag == "pci"]
    assert text[found.start : found.end].replace(invisible, "") == "4111111111111111"


@pytest.mark.parametrize("tag", SENTENCES)
@pytest.mark.parametrize("pieces", [2, 3, 7])
def test_nothing_hides_in_a_split(tag: str, pieces: int) -> None:
    text = f"It was a long day. {SENTENCES[tag]}. And so on."
    for first in range(1, len(text) - pieces):
        step = max(1, (len(text) - first) // (pieces - 1))
        cuts = [0, *range(first, len(text), step), len(text)]
        parts = [text[low:high] for low, high in pairwise(cuts)]
        carry, names = "", set[str]()
        for part in parts:
            between, carry = seam(carry, part)
            names.update(classify(part).names(), classify(between).names())
        assert tag in names, parts


def test_beyond_the_bounds_of_decoding_text_counts_as_unreadable() -> None:
    many = " ".join(base64.b64encode(b"nothing to see here, number %d" % i).decode() for i in range(400))
    assert "opaque" in classify(many).names()


def test_ordinary_tokens_are_not_taken_for_encodings() -> None:
    text = "commit 9f8c2d1e4b7a4c3e9d2f00112233445566778899 of feature/long-branch-name and some_identifier_name_2"
    assert all(one.confidence < RAISES for one in scan(text))


LETTERS = st.sampled_from("aopB9 .\nаоржΔοé中\ud800🙂")


@given(st.lists(LETTERS, max_size=40).map("".join))
def test_few_words_are_made_plain_as_many_are(text: str) -> None:
    """A text with many foreign letters is read word by word; with few, only where they are."""
    many = " ж" * 600
    assert normal(text + " pа")[0] == normal(text + " pа" + many)[0][: -len(many)]


def test_so_many_invisible_characters_hide_no_place() -> None:
    text = "\u200b" * 5000 + "write to jo\u200bhn@example.org" + "\u2060" * 5000
    found = next(one for one in scan(text) if one.detector == "email")
    assert text[found.start : found.end] == "jo\u200bhn@example.org"


def test_a_long_word_of_mixed_scripts_is_read_as_a_short_one() -> None:
    for word in ("раsswоrd", "АКІА" + "X"):
        short, long = normal(f"a {word} b")[0], normal("a " + word * 200 + " b")[0]
        assert long == short.replace(short[2:-2], short[2:-2] * 200)
