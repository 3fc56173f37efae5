"""Source code against prose: how many lines of a block are written the way programs are.

A block is judged by the share of its lines that look like code, each kind of line worth what it is worth in the least
code-like text that has it. Data formats (JSON, logs, YAML) have brackets as well, but no statements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from signalbox.detectors.detector import Detector
from signalbox.detectors.found import Found
from signalbox.detectors.view import View

# The densest blocks that are judged in one text, and their size: enough to know that there is code, bounded in time.
_BLOCK_CHARS, _BLOCKS_MAX = 1536, 3

_FENCE = re.compile(
    r"(?:```|~~~)[ ]?(?i:python|py|javascript|js|jsx|typescript|ts|tsx|java|c|cpp|c\+\+|csharp|c#|cs|go|golang|rust|"
    r"ruby|rb|php|"
    r"swift|kotlin|scala|perl|r|sql|bash|sh|shell|zsh|powershell|ps1|lua|haskell|dart|matlab|vb|asm|verilog|"
    r"solidity|html|css|"
    r"dockerfile|terraform|hcl|makefile)\b[^\n]{0,40}\n"
)
_STRONG = re.compile(
    rb"^[ \t]*+(?:"
    rb"(?:async )?def \w+ ?\(.*|class \w+(?: ?[:({].*)?$|(?:from [\w.]+ )?import [\w.*{ ]+(?:,.*|;|$| as .*|"
    rb"\}.*)|#include ?[<\"].*|#define \w.*|#!/.*|"
    rb"(?:el)?if .*[:{]$|if ?\(.*\).*|\} ?else.*|else ?[:{].*|else$|elif .*:$|for ?\(.*|for \w+(?:, ?\w+)* in .*:.*|"
    rb"while ?\(.*|while .*:$|switch ?\(.*|case .*:$|"
    rb"(?:try|finally|do) ?[:{]$|(?:catch|except).*[:{]$|with .* as \w+:$|return(?: .*)?;$|"
    rb"return [\w.\[\](){}'\"+*/, -]+$|return$|"
    rb"(?:const|let|var|val|auto|final|static|unsigned|mut) .*=.*|(?:public|private|protected|internal|static|"
    rb"export|func|fn|function|fun|sub|package|namespace|using|module|struct|enum|interface|trait|impl|"
    rb"template) [\w<*&].*[;{:)(]?.*|"
    rb"(?:int|char|void|bool|boolean|float|double|long|string|String|size_t|uint\d+_t|byte|Object|List<.*>|std::.*|"
    rb"FILE) ?\*{0,2} ?\w+.*[;{,)(=].*|"
    rb"[\w.>\[\]'\"*&-]+(?:\[[^\]]*\])? ?(?:[-+*/|&%^]|<<|>>)?= ?[^=].*;$|\w[\w.]* (?::[ \w\[\], |"
    rb"]+ )?[-+*/]?= [\w\[({'\"-].*(?<![.!?])$|"
    rb"[\w.>:<-]+\(.*\);?(?: ?\{)?$|(?:await|yield|raise|throw|assert|print|del|global|pass|break|continue|"
    rb"goto)\b.*;?$|@\w+(?:\(.*\))?$|"
    rb"(?:SELECT|select) .{1,200}\b(?:FROM|from)\b.*|(?:INSERT INTO|insert into|UPDATE|update|DELETE FROM|"
    rb"delete from|CREATE (?:OR REPLACE )?(?:TABLE|VIEW|INDEX|FUNCTION|PROCEDURE|UNIQUE|TRIGGER|DATABASE)|"
    rb"create (?:table|view|index)|ALTER TABLE|alter table|DROP TABLE|drop table) [\w`\".(].*|"
    rb"(?:FROM|from|(?:LEFT |RIGHT |INNER |OUTER |left |right |inner )?(?:JOIN|join)) [\w.`\"]+(?: (?:AS |"
    rb"as )?\w{1,20})?(?: (?:ON|on) .*)?,?;?$|(?:WHERE|where|HAVING|having|AND|OR) .*(?:=|<|>|\bIN\b|\bLIKE\b|"
    rb"\bIS\b|\bBETWEEN\b).*|(?:GROUP BY|ORDER BY|group by|order by|LIMIT|VALUES|values|SET|BEGIN|COMMIT|DECLARE|"
    rb"END) ?[\w(@`].*|(?:BEGIN|COMMIT|END);?$|"
    rb"(?:sudo|apt-get|apt|yum|pip3?|npm|yarn|git|docker|kubectl|curl|wget|chmod|chown|mkdir|cd|cp|mv|rm|grep|sed|"
    rb"awk|echo|export|source|ssh|scp|tar|find|cat|ls|systemctl|python3?|make|cargo|helm|terraform|ps|kill|read|"
    rb"local|set|unset|printf|trap|exit|exec|eval|shift) (?:[-\"'$./~|>]|\w+[ =/.:@-]|\w+$|\d+$).*|"
    rb"(?:then|fi|done|esac|do|do$)$|\w+=(?:\$|\"|'|\d|[/\w.-]+$).*|if \[.*|\w+ ?\(\) ?\{$|\$ [a-z].*|"
    rb"[ \t]*\|.*\|.*xargs.*|(?:for|while|until) .*; ?do.*|.*(?:&&|\|\|) *\\?$|.*\| (?:grep|awk|sed|sort|head|tail|"
    rb"xargs|wc|cut|tr|tee) .*|"
    rb".*[;{]$|[\])}]+[;,)]*$|.*(?:->|=>|::)\w.*[;,){]$"
    rb")",
    re.MULTILINE,
)
_COMMENT = re.compile(rb"^[ \t]*+(?://|/\*|\*/?(?: |$)|#(?: |!|$)|--(?: |$)|\"\"\"|''').*", re.MULTILINE)
_LINE = re.compile(rb"^[ \t]*+[^\s].*", re.MULTILINE)
_DATA = re.compile(
    rb"^[ \t]*+(?:\"[^\"\n]{1,200}\": .*|\[?\d{4}-\d\d-\d\d.*|<[^>\n]+>.*|- [\w-]+:.*|[\w-]+: .*)$",
    re.MULTILINE,
)
_MARKUP = b"{}();=<>[]\n"

# Docstrings are prose in the middle of code.
_QUOTED = re.compile(rb"(\"\"\"|''')[\s\S]{0,4000}?\1")
# So many brackets and signs are worth a look in a text of any length.
_MARKS_ENOUGH = 6
# The head of a Python function with its body, or of a class with its description: nothing else is written so, however
# much of what follows is prose.
_DEFINED = re.compile(
    rb"^[ \t]*+(?:(?:async )?def \w+ ?\([^\n]{0,200}:[ \t]*\r?\n[ \t]++[^\s]|"
    rb"class \w+[^\n]{0,100}:[ \t]*\r?\n[ \t]++(?:\"\"\"|\'\'\'))",
    re.MULTILINE,
)
# `#!/`, with nothing but blanks, letters and digits between.
_SCRIPT_MARKS = rb"#[ \t\xa00-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\xff]*![ \t\xa00-9A-Za-z\xc0-\xd6\xd8-\xf6\xf8-\xff]*/"
_SCRIPT = re.compile(rb"^#! ?/(?:usr/)?(?:local/)?s?bin/(?:env )?\w", re.MULTILINE)
# Lines that only a shell reads; prose and data do not have three of them.
_SHELL = re.compile(
    rb"^[ \t]*+(?:fi|esac|done|;;|then|if (?:\[|test |! )[^\n]*|case [^\n]{1,80} in|while (?:read|test|\[|:)[^\n]*|"
    rb"for \w+ in [^\n]*(?:; ?do)?|set -[euxo]{1,4}[^\n]*|\w+ ?\(\) ?\{?|exit [\d$][^\n]{0,8}|"
    rb"\w{1,40}=(?:\$[({\w]|\"\$|`)[^\n]*|[^\n]*(?:\"\$[A-Za-z_@{]|\$\{[A-Za-z_])[^\n]*|"
    rb"(?:export|local|readonly) \w+=[^\n]*)[ \t]*\r?$",
    re.MULTILINE,
)
# Statements that begin a line in capitals.
_STATEMENT = re.compile(
    rb"^[ \t]*+(?:(?:CREATE|ALTER|DROP)(?: OR REPLACE)?(?: UNIQUE| MATERIALIZED| TEMP(?:ORARY)?)? (?:TABLE|VIEW|INDEX|"
    rb"FUNCTION|PROCEDURE|TRIGGER|TYPE|OPERATOR|AGGREGATE|EXTENSION|SCHEMA|DOMAIN|CAST|SEQUENCE|ROLE|USER|DATABASE|"
    rb"ACCESS METHOD) [\w\"`.(]|INSERT INTO [\w\"`.]|DELETE FROM [\w\"`.]|UPDATE [\w\"`.]{1,80} SET\b|"
    rb"(?:GRANT|REVOKE) [A-Z, ]{3,60} ON |COMMENT ON [A-Z]|LANGUAGE (?:C|SQL|'?(?i:plpgsql|sql)'?)\b)",
    re.MULTILINE,
)
_STATEMENT_WORDS = frozenset((b"create", b"alter", b"drop", b"insert", b"delete", b"update", b"grant", b"revoke",
                              b"comment", b"language"))  # fmt: skip
_STATEMENT_STARTS = (b"CREATE ", b"ALTER ", b"DROP ", b"INSERT INTO ", b"DELETE FROM ", b"UPDATE ", b"GRANT ",
                     b"REVOKE ", b"COMMENT ON ", b"LANGUAGE ")  # fmt: skip
_SHELL_LINES, _SHELL_CHARS = 3, 4096
_LINE_ENDS = re.compile(rb"[;{})\]]\r?\n|[)\"]:\r?\n")
_DOLLAR = 36
_SHELL_WORDS = frozenset((b"fi", b"esac"))
_DEFINING = frozenset((b"def", b"class"))
_LINES_MIN, _SHARE = 3, 0.45

_ENDS = (b";", b"{", b"}", b"):", b"};", b"})", b"/>", b"->", b"=> {")
_STARTS = (
    b"def ", b"import ", b"from ", b"return ", b"if (", b"for (", b"self.", b"class ", b"elif ", b"#include",
    b"public ",
    b"private ", b"const ", b"let ", b"var ", b"//", b"while (", b"} else", b"print(", b"func ", b"fn ", b"static ",
    b"export ", b"SELECT ", b"@", b"sudo ", b"echo ",
)  # fmt: skip
_STARTS_2 = frozenset((*(start[:2] for start in _STARTS), *(b"@%c" % char for char in range(256))))
_OPENED, _CLOSED = (b'{"', b"{'", b"[{", b'["', b"['"), (b"}", b"]", b"},", b"],")
_DATA_STARTS = b'"{}[]0123456789'
# Between these the first guess is not enough and lines are read one by one.
_UNSURE = (0.12, 0.45)


def find(view: View) -> Iterator[Found]:
    text, flat = view.text, view.flat
    if flat.find(b"```") >= 0 or flat.find(b"~~~") >= 0:
        for match in _FENCE.finditer(text):
            end = text.find(match[0][:3], match.end())
            end = len(text) if end < 0 else end + 3
            if end - match.start() > 40:
                yield Found("source_code", "source-code", match.start(), end, 0.95, "fence")
                if view.brief:
                    return  # that there is code is all that counts
    if not view.hits.isdisjoint(_DEFINING):
        match = _DEFINED.search(flat)
        if match is not None:
            yield Found("source_code", "source-code", match.start(), match.end(), 0.9, "definition")
            if view.brief:
                return
    if view.marks.find(b"#!/") >= 0:
        match = _SCRIPT.search(flat)
        if match is not None:
            yield Found("source_code", "source-code", match.start(), match.end(), 0.9, "script")
            if view.brief:
                return
    if _DOLLAR in flat or not view.hits.isdisjoint(_SHELL_WORDS):
        lines = list(islice(_SHELL.finditer(flat, 0, _SHELL_CHARS), _SHELL_LINES))
        if len(lines) == _SHELL_LINES:
            yield Found("source_code", "source-code", lines[0].start(), lines[-1].end(), 0.8, "shell")
            if view.brief:
                return
    if not view.hits.isdisjoint(_STATEMENT_WORDS) and _has_statements(view):
        match = _STATEMENT.search(flat)
        if match is not None:
            yield Found("source_code", "source-code", match.start(), match.end(), 0.85, "sql")
            if view.brief:
                return
    guesses = [(_quick(flat[start:end]), start, end) for start, end in _densest(flat)]
    if view.brief:
        guesses.sort(reverse=True)
    for share, start, end in guesses:
        if _UNSURE[0] <= share < _UNSURE[1]:
            share = judged(flat[start:end])
        if share >= _SHARE:
            yield Found("source_code", "source-code", start, end, min(0.97, 0.5 + 0.5 * share), "block")
            if view.brief:
                return


def _quick(block: bytes) -> float:
    """A first guess of the share by how lines begin and end, in a fraction of the time."""
    lines = [stripped for line in block.split(b"\n") if (stripped := line.strip())]
    code = data = values = 0
    for line in lines:
        if line.startswith(_OPENED) and line.endswith(_CLOSED):
            values += 1
        if line.endswith(_ENDS):
            code += 1
            data += line[0] in _DATA_STARTS
        elif line[:2] in _STARTS_2 and line.startswith(_STARTS):
            code += 1
    if values * 10 > len(lines) * 6:
        return 0.0  # JSON, one value on each line
    if len(lines) < 3 or data * 3 > len(lines) or b'"""' in block:
        return _UNSURE[0]
    return code / len(lines)


def judged(block: bytes) -> float:
    """The share of a block's lines that are code, 0 when they are too few; comments count as what is around them."""
    block = _QUOTED.sub(b"", block.replace(b"\r", b""))
    comments = len(_COMMENT.findall(block))
    data = len(_DATA.findall(block))
    lines = len(_LINE.findall(block)) - comments
    if lines <= 0:
        return 0.0
    is_data = data * 2 > lines
    if is_data and lines + comments - data < lines * _SHARE:
        return 0.0  # whatever the rest is
    code = len(_STRONG.findall(block)) - (data if is_data else 0)
    share = code / lines
    return share if code >= _LINES_MIN or (code == 2 and share >= 0.9) else 0.0


def _densest(flat: bytes) -> list[tuple[int, int]]:
    """The blocks with most of the characters that programs are made of, cut at line ends."""
    size = len(flat)
    if size <= _BLOCK_CHARS:
        return [(0, size)]
    weighed: list[tuple[int, int, int]] = []
    start = 0
    while start < size:
        end = flat.find(b"\n", min(size, start + _BLOCK_CHARS))
        end = size if end < 0 or end - start > 2 * _BLOCK_CHARS else end + 1
        end = min(end, start + 2 * _BLOCK_CHARS)
        block = flat[start:end]
        weighed.append((len(block) - len(block.translate(None, _MARKUP)), start, end))
        start = end
    weighed.sort(reverse=True)
    return [(start, end) for weight, start, end in weighed[:_BLOCKS_MAX] if weight * 125 > end - start]


def _has_statements(view: View) -> bool:
    """Whether a word of SQL stands there in capitals."""
    if view.shape.find(b"AAAA ") < 0:
        return False
    flat = view.flat
    return any(flat.find(start) >= 0 for start in _STATEMENT_STARTS)


def _looks_technical(view: View) -> bool:
    """Enough of the marks of programs to be worth reading lines."""
    flat = view.flat
    first = flat.find(b"\n")
    if first < 0 or flat.find(b"\n", first + 1) < 0:
        return False
    signs = view.marks
    lines = signs.count(b"\n")
    if len(signs) < lines + 2:
        return False
    if signs.find(b"```") >= 0 or signs.find(b"~~~") >= 0:
        return True
    telling = len(signs) - len(signs.translate(None, b"(=;{$"))
    if telling >= _MARKS_ENOUGH and telling >= lines // 2:
        return True
    # Blanks, letters and digits are gone from marks, so these are lines that end as statements and blocks do.
    return telling + len(signs) - len(signs.translate(None, b"})]:")) > 1 and _ends(signs) * 5 >= lines


def _ends(signs: bytes) -> int:
    """How many lines end as statements and blocks do, 0 for a single one."""
    ends = len(_LINE_ENDS.findall(signs))
    return ends if ends > 1 else 0


DETECTOR = Detector(
    "source_code",
    find,
    tags=("source-code",),
    words=frozenset(
        [
            "select",
            "echo",
            "bash",
            "grep",
            "awk",
            "chmod",
            "sudo",
            "def",
            "elif",
            "endif",
            "fi",
            "esac",
            "printf",
            "nullptr",
            "kubectl",
        ]
    ),
    hinting=frozenset(word.decode() for word in _STATEMENT_WORDS),
    hinted=_has_statements,
    noted=frozenset(["class"]),
    triggers=(_SCRIPT_MARKS,),
    sign=_looks_technical,
)
