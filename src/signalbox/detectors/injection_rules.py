"""Rules that tell injections by what their words stand for; patterns over the letters of `injection_lexicon`.

`c` in a pattern of the table stands for any letter of the same sentence.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from signalbox.core.pattern import compiled_later


class Rule(NamedTuple):
    """needs: letters without which it cannot match. untrusted: it holds for content that nobody vouches for only,
    where no words to the model are expected."""

    name: str
    pattern: re.Pattern[str]
    needs: str
    untrusted: bool = False


def _rule(name: str, needs: str, pattern: str, untrusted: bool = False) -> Rule:
    return Rule(name, compiled_later(_wide(pattern)), needs.replace("P", ""), untrusted)


def _wide(pattern: str) -> str:
    """`c` is any letter of the sentence, and `P` what came before, be it in time or in place."""
    parts = re.compile(r"\[[^\]]*\]|P")
    spelled = pattern.replace("c", "[^|#]")
    return parts.sub(lambda part: "[Pa]" if part[0] == "P" else part[0].replace("P", "Pa"), spelled)


RULES: tuple[Rule, ...] = (
    _rule("override", "I", r"Ic{0,3}[PEeYFJ]c{0,3}[NT]c{0,3}[PYM]|IE?c?PE?c?N|Ic{0,2}E?c?N(?:c{0,3}P|c{0,4}Y)"),
    _rule("override", "IE", r"Ic?Ec?(?:[YP]c?)?N"),
    _rule("override", "IT", r"Ic{0,2}(?:Ec?P|PE?)c?T"),
    _rule("override", "IP", r"I[.E]{0,2}P.?(?:&|[|])c{0,2}[WRMQFO]"),
    _rule("override", "Ie", r"I.?e(?:c{0,3}(?:[PYF]|&c?[RWYO]|T)|[.&]?[RWO])"),
    _rule("override", "I", r"(?:^|[|])I.?N(?:[|]|$)|^W.?YN[|]?$"),
    _rule("override", "IT", r"I..?T.?&.?W"),
    _rule("override", "PNI", r"Pc{0,3}N[.E]{0,3}I"),
    _rule("not-follow", "OXN", r"X.{0,3}Oc{0,3}[PEY]c?N"),
    _rule("overruled", "Nv", r"[PE]c{0,2}[NT]c{0,4}rc{0,3}v|Nc{0,2}Pc{0,6}rc{0,3}v"),
    _rule("overruled", "JN", r"YJNrc{0,2}|Jc?Nc{0,4}Ic{0,3}[PE]c{0,3}N|JNc?\|.{0,4}I"),
    _rule("show-prompt", "RN", r"R(?:c{0,2}[YM]){0,2}c{0,5}(?:Yc{0,3}[SPZE]?c?N|[SPZ]N(?:\||c?[P&FMQ]))"),
    _rule("show-prompt", "RN", r"R(?:c{0,2}[YM]){0,2}c{0,5}[PS]c?Nc{0,3}Y"),
    _rule("show-prompt", "qN", r"q(?:c{0,2}r)?c{0,2}Yc{0,2}(?:[PSZ]c?N|N(?:\||&))|qr?c{0,2}[SP]{1,2}Nc{0,3}(?:Y|\|$)"),
    _rule("show-prompt", "NR", r"NYc{0,3}[RO]|Y[PS]N|[RW]c{0,3}NYr"),
    _rule("repeat-above", "RP", r"Rc{0,2}(?:eT?|ET)c{0,3}P|Rc{0,3}Tc{0,2}PQ?c?(?:\||&|Q)|RR?c{0,8}Zc{0,3}Yr"),
    _rule("repeat-above", "Ra", r"Rc{0,4}a.?[TN]|R[.&RME]{0,4}[TNEe](?:.M?T)?a"),
    _rule("repeat-above", "TM", r"(?:R|W|q)c{0,3}E?T.MT(?:[|]|$)"),
    _rule("repeat-above", "TP", r"[RW]c{0,6}TP.[TN](?:[|]|$)"),
    _rule("secret", "Rk", r"(?:^|[|])[R.]?R[.M]{0,2}(?:kk|K|kK)(?:[|]|$)"),
    _rule("secret", "QK", r"Q.KQ"),
    _rule("show-prompt", "YS", r"YS[NT]"),
    _rule("show-prompt", "NY", r"N.Yc?O"),
    _rule("secret", "RK", r"Rc{0,3}Yc{0,2}K|(?:[RW][.&]){1}c{0,2}kK(?:\||c?g)"),
    _rule("secret", "kg", r"(?:R|W|O)c{0,4}kg"),
    _rule("secret", "Yk", r"Rc{0,3}Yc{0,2}k[kK]"),
    _rule("limits-off", "YL", r"(?:I|X|V)c{0,3}Yc{0,3}L|Xc{0,2}Ec?Lc{0,12}Y"),
    _rule("limits-off", "XL", r"[AYB]c{0,14}(?:X|V)c{0,4}(?:[EU]c{0,2}){1,2}L"),
    _rule("limits-off", "VB", r"V(?:V|c){0,6}(?:V|L)c{0,3}B|Yc{0,8}V+c{0,4}(?:V|L)"),
    _rule("unbound", "UB", r"[YA]c{0,6}U(?:U|&|c)?[BC]"),
    _rule("unbound", "U", r"U(?:&|c)?U(?:&|c)?[BCUS]"),
    _rule("mode", "GS", r"(?:[SU]G(?:c{0,3}n|c?I|c{0,3}T)|GI)"),
    _rule("frame", "#", r"#[^#]{0,8}(?:[IOR]c{0,5}[NTPY]|Y(?:r|c)[^#]{0,5}[FBCUA]|Fc{0,4}[YRW])|#.?J.?N"),
    _rule("obey", "DN", r"D\|?(?:.\|?){0,2}Ic{0,3}N|Oc{0,2}Ec{0,2}Jc?N", True),
    _rule("to-the-model", "BI", r"B\|?c{0,6}Ic{0,4}[NTPE]", True),
    _rule("to-the-model", "FY", r"F[^|#]Yc{0,2}[OBAC]", True),
    _rule("to-the-model", "BD", r"DcB[^|#]|BDc{0,3}[RWOI]", True),
    _rule("frame", "#", r"#.{0,3}[SBDJ]", True),
    _rule("repeat-above", "RN", r"Rc{0,4}YJ?c{0,2}N", True),
)  # fmt: skip

# Set phrases: they need no reading.
PHRASES: tuple[tuple[str, str], ...] = (
    ("unbound", "do anything now"),
    ("unbound", "dan mode"),
    ("unbound", "stay a dan"),
    ("unbound", "always intelligent and machiavellian"),
    ("unbound", "developer mode output"),
    ("unbound", "opposite mode"),
    ("unbound", "strive to avoid norms"),
    ("unbound", "evil confidant"),
    ("unbound", "typical confines of ai"),
    ("mode", "system mode as an ai"),
    ("mode", "god mode enabled"),
    ("secret", "say access granted"),
    ("secret", "print access granted"),
)
# One of these is in each of them.
_SIGNS = frozenset(
    ("anything", "dan", "machiavellian", "mode", "norms", "confidant", "confines", "granted", "instructions")
)


def matched(letters: str, read: list[str], untrusted: bool) -> tuple[str, ...]:
    """The names of the rules that hold for a text as letters and as words."""
    found: dict[str, None] = {}
    for rule in RULES:
        if (untrusted or not rule.untrusted) and rule.name not in found:
            for letter in rule.needs:
                if letter not in letters:
                    break
            else:
                if rule.pattern.search(letters) is not None:
                    found[rule.name] = None
    if not _SIGNS.isdisjoint(read):
        joined = " ".join([word for word in read if word != "|"])
        found.update({name: None for name, phrase in PHRASES if phrase in joined})
    return tuple(found)
