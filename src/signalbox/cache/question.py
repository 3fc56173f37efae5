"""What a call asks: its last words in plain text, and whether the answer changes with the clock."""

from __future__ import annotations

from typing import Any, cast

from signalbox.core.pattern import compiled_later

# Of a longer text so much of either end is looked at.
END_CHARS = 2000

# In small letters.
_NOW = compiled_later(
    r"\b(?:"
    # English
    r"today(?:'s)?|tonight|now|nowadays|currently|current|yesterday|tomorrow|latest|newest|recent(?:ly)?|ago|so far|"
    r"at the moment|these days|as of|up[- ]to[- ]date|(?:this|last|next|past|coming) (?:week|month|year|quarter|"
    r"morning|afternoon|evening|night|weekend|season|monday|tuesday|wednesday|thursday|friday|saturday|sunday)|"
    r"weather|forecast|news|headlines|what time|what day|which day|what date|the date|stock price|share price|"
    r"exchange rate|live score|breaking|still open|in stock|"
    # German
    r"heute|heutige[nrs]?|gestern|morgen|jetzt|gerade|derzeit(?:ige[nrs]?)?|momentan|zurzeit|aktuell(?:e|en|er|es)?|"
    r"neuest(?:e|en|er|es)|kürzlich|wetter|nachrichten|uhrzeit|wie spät|(?:diese|letzte|nächste)[nrs]? "
    r"(?:woche|monat|jahr|quartal)|"
    # French
    r"aujourd['’]hui|hier|demain|maintenant|actuel(?:le|s|les)?|actuellement|en ce moment|récent(?:e|s|es)?|"
    r"récemment|dernier(?:e|s|es)? (?:semaine|mois|année|nouvelles?)|météo|actualités?|quelle heure|quel jour|"
    # Spanish, Portuguese, Italian
    r"hoy|ayer|mañana|ahora|actual(?:es|mente)?|reciente(?:s|mente)?|última[s]? noticias|qué hora|qué día|"
    r"hoje|ontem|amanhã|agora|atual(?:mente)?|atuais|notícias|que horas|"
    r"oggi|ieri|domani|adesso|ora|attual(?:e|i|mente)|ultime notizie|che ore|meteo|"
    # Dutch, Polish, Czech, Swedish
    r"vandaag|gisteren|nu|momenteel|huidige|nieuws|hoe laat|dzisiaj|dziś|wczoraj|jutro|teraz|obecnie|obecny|aktualn\w+|"
    r"pogoda|która godzina|dnes|včera|zítra|teď|idag|igår|imorgon|nuvarande|senaste|"
    # Russian, Ukrainian, Turkish
    r"сегодня|вчера|завтра|сейчас|текущ\w+|последн\w+ новост\w+|погода|который час|сьогодні|вчора|зараз|"
    r"bugün|dün|yarın|şimdi|şu an|güncel|hava durumu|saat kaç"
    r")\b"
    # languages that are written without blanks
    r"|今天|昨天|明天|现在|目前|最新|天气|今日|昨日|明日|現在|最近|天気|오늘|어제|내일|지금|현재|최신|날씨|اليوم|الآن|أمس|غدا|आज|अभी|कल"
)


def last_words(doc: dict[str, Any]) -> str:
    """The text of the last turn of whoever asks; empty when it holds none. Tool results are not somebody's words."""
    turns = doc.get("messages", doc.get("input", doc.get("prompt")))
    if isinstance(turns, str):
        return turns
    if not isinstance(turns, list):
        return ""
    for turn in reversed(cast("list[Any]", turns)):
        if isinstance(turn, str):
            return turn
        if not isinstance(turn, dict):
            continue
        fields = cast("dict[str, Any]", turn)
        if fields.get("role") == "user":
            return _text(fields.get("content"))
    return ""


def parted(doc: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """A call's body without its last words, and those words; None unless they are plain text and stand at the end."""
    for field in ("messages", "input", "prompt"):
        turns = doc.get(field)
        if isinstance(turns, str):
            return {**doc, field: ""}, turns
        if isinstance(turns, list) and turns:
            *before, last = cast("list[Any]", turns)
            if not isinstance(last, dict):
                return None
            turn = cast("dict[str, Any]", last)
            text = _only_text(turn.get("content")) if turn.get("role") == "user" else None
            return None if text is None else ({**doc, field: [*before, {**turn, "content": ""}]}, text)
    return None


def _only_text(content: object) -> str | None:
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    if len(parts) != 1 or not isinstance(parts[0], dict):
        return None
    part = cast("dict[str, Any]", parts[0])
    text = part.get("text")
    plain = part.keys() <= {"type", "text"} and part.get("type") in ("text", "input_text")
    return text if plain and isinstance(text, str) else None


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts: list[str] = []
    for part in cast("list[Any]", content):
        text = cast("dict[str, Any]", part).get("text") if isinstance(part, dict) else part
        if isinstance(text, str):
            texts.append(text)
    return "\n".join(texts)


def about_now(doc: dict[str, Any]) -> bool:
    """Whether the last words ask for something that is different tomorrow. Rather too often than too rarely: to ask
    anew costs little, yesterday's weather much."""
    text = last_words(doc)
    if len(text) > 2 * END_CHARS:
        text = f"{text[:END_CHARS]}\n{text[-END_CHARS:]}"
    # In small letters, which takes a quarter of the time that looking for either does; Turkish has one of its own.
    return _NOW.search(text.replace("İ", "i").lower()) is not None
