"""Pairs of questions that look alike and must never share an answer, generated in nine languages."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple


class Pair(NamedTuple):
    """kind: what differs. language: ISO 639-1."""

    kind: str
    language: str
    one: str
    other: str


# language -> templates; {n}, {d}, {v}, {a}, {b} are filled with two different values, {not} with nothing or a negation.
NEGATED = {
    "en": ["Can I {not}return the item after opening it?", "Why should I {not}update the firmware at night?",
           "Which plans do {not}include roaming?", "Is the invoice {not}payable by card?"],
    "de": ["Warum wird meine Karte {not}akzeptiert?", "Darf ich das Gerät {not}selbst öffnen?",
           "Welche Tarife enthalten {not}das Roaming?"],
    "fr": ["Pourquoi ma carte est {not}acceptée dans ce magasin ?", "Quels forfaits sont {not}valables en Suisse ?"],
    "es": ["¿Por qué {not}funciona mi tarjeta en el extranjero?", "¿Qué planes {not}incluyen llamadas a Francia?"],
    "it": ["Perché la carta {not}funziona all'estero?", "Quali tariffe {not}comprendono il roaming?"],
    "pt": ["Por que o cartão {not}funciona no exterior?", "Quais planos {not}incluem chamadas?"],
    "nl": ["Waarom wordt mijn kaart {not}geaccepteerd?", "Welke abonnementen gelden {not}in Zwitserland?"],
    "pl": ["Dlaczego karta {not}działa za granicą?", "Które taryfy {not}obejmują roaming?"],
    "zh": ["我的卡为什么{not}能在国外使用？", "哪些套餐{not}包括漫游？"],
}  # fmt: skip
NOT = {"en": "not ", "de": "nicht ", "fr": "jamais ", "es": "no ", "it": "non ", "pt": "não ", "nl": "niet ",
       "pl": "nie ", "zh": "不"}  # fmt: skip
FILLED = {
    "en": ["What does it cost to send {x} kilos to Norway?", "How do I pay {x} invoices at once?",
           "What changed in release {v} of the client?", "Is the office open on {d}?", "Does {a} report to {b}?",
           "How much does {a} owe {b} for the trip?", "Please summarise the contract of {a}."],
    "de": ["Was kostet der Versand von {x} Kilo nach Norwegen?", "Was ist neu in Version {v} des Programms?",
           "Ist das Büro am {d} geöffnet?", "Schuldet {a} noch etwas an {b}?", "Fasse den Vertrag von {a} zusammen."],
    "fr": ["Combien coûte l'envoi de {x} kilos en Norvège ?", "Quoi de neuf dans la version {v} ?",
           "Le bureau est-il ouvert le {d} ?", "Est-ce que {a} travaille pour {b} ?"],
    "es": ["¿Cuánto cuesta enviar {x} kilos a Noruega?", "¿Qué cambió en la versión {v}?",
           "¿Está abierta la oficina el {d}?", "¿Trabaja {a} para {b}?"],
    "it": ["Quanto costa spedire {x} chili in Norvegia?", "Che cosa cambia nella versione {v}?",
           "L'ufficio è aperto il {d}?", "È vero che {a} lavora per {b}?"],
    "pt": ["Quanto custa enviar {x} quilos para a Noruega?", "O que mudou na versão {v}?",
           "O escritório abre em {d}?", "É verdade que {a} trabalha para {b}?"],
    "nl": ["Wat kost het om {x} kilo naar Noorwegen te sturen?", "Wat is er nieuw in versie {v}?",
           "Is het kantoor open op {d}?", "Werkt {a} voor {b}?"],
    "pl": ["Ile kosztuje wysłanie {x} kilogramów do Norwegii?", "Co nowego w wersji {v}?",
           "Czy biuro jest otwarte {d}?", "Czy {a} pracuje dla {b}?"],
    "zh": ["寄{x}公斤到挪威要多少钱？", "版本{v}有什么变化？", "办公室在{d}开门吗？"],
}  # fmt: skip
NUMBERS = ("2", "3", "12", "15", "20", "50", "115", "1,500", "2.5", "40")
VERSIONS = ("2.1", "2.11", "v3", "3.0.4", "3.4.0", "10.2", "4.1-beta2")
DATES = {
    "en": ("3 March", "4 March", "3 April", "Monday", "Tuesday", "2025-03-04", "2025-04-03"),
    "zh": ("3月4日", "4月3日", "3月5日"),
}
DATES_DEFAULT = ("3.4.2025", "4.3.2025", "03/05/2025", "2025-03-04")
NAMES = ("Anna Keller", "Maria Keller", "Tom Berg", "Tim Berg", "Ivanov", "Novak", "Siemens", "Bosch")
# English words that turn a question round, in both directions.
OPPOSITES = [
    ("How do I {} my account?", [("open", "close"), ("activate", "deactivate"), ("lock", "unlock"),
                                  ("create", "delete")]),
    ("How do I {} automatic renewal?", [("enable", "disable"), ("start", "stop"), ("accept", "decline")]),
    ("Why did the price {} last week?", [("rise", "fall"), ("increase", "decrease"), ("go up", "go down")]),
    ("Can I pay {} the delivery?", [("before", "after"), ("with", "without")]),
    ("Which is the {} plan you have?", [("cheapest", "dearest"), ("smallest", "largest"), ("newest", "oldest"),
                                        ("best", "worst"), ("fastest", "slowest")]),
    ("Is this mushroom {} to eat?", [("safe", "unsafe"), ("safe", "dangerous"), ("legal", "illegal")]),
    ("How do I {} money abroad?", [("send", "receive"), ("borrow", "lend"), ("deposit", "withdraw")]),
    ("What is the {} temperature of the pump?", [("maximum", "minimum"), ("highest", "lowest")]),
    ("Should the patient take it {} meals?", [("before", "after"), ("with", "between")]),
    ("How can I {} the table in the database?", [("create", "drop"), ("lock", "unlock"), ("encrypt", "decrypt")]),
]  # fmt: skip
OPPOSITES_ELSEWHERE = {
    "de": [("Wie kann ich mein Konto {}?", [("öffnen", "schließen"), ("sperren", "entsperren"),
                                         ("anlegen", "löschen")]),
           ("Soll ich die Tablette {} dem Essen nehmen?", [("vor", "nach")])],
    "fr": [("Comment {} mon compte ?", [("ouvrir", "fermer"), ("activer", "désactiver"), ("bloquer", "débloquer")])],
    "es": [("¿Cómo puedo {} mi cuenta?", [("abrir", "cerrar"), ("activar", "desactivar"),
                                       ("bloquear", "desbloquear")])],
    "it": [("Come posso {} il mio conto?", [("aprire", "chiudere"), ("attivare", "disattivare")])],
    "pl": [("Jak mogę {} moje konto?", [("otworzyć", "zamknąć"), ("zablokować", "odblokować")])],
}  # fmt: skip
UNITS = [("5 km", "5 miles"), ("20 °C", "20 °F"), ("10 mg", "10 ml"), ("30 minutes", "30 hours"), ("100 €", "100 $")]
POLITE = ("", "Hi, ", "Please: ", "Quick question. ")


def pairs(seed: int = 7) -> list[Pair]:
    """At least 4,000 of them, each once, in the same order for the same seed."""
    found = list(dict.fromkeys(_all()))
    random.Random(seed).shuffle(found)
    return found


def _all() -> Iterator[Pair]:
    for polite in POLITE:
        for language, templates in NEGATED.items():
            for template in templates:
                for other_polite in POLITE:
                    one, other = template.replace("{not}", ""), template.replace("{not}", NOT[language])
                    yield Pair("negation", language, polite + one, other_polite + other)
                    yield Pair("negation", language, polite + other, other_polite + one)
        for template, words in OPPOSITES:
            for one, other in words:
                yield Pair("opposite", "en", polite + template.format(one), template.format(other))
                yield Pair("opposite", "en", template.format(other), polite + template.format(one))
        for language, templates in OPPOSITES_ELSEWHERE.items():
            for template, words in templates:
                for one, other in words:
                    yield Pair("opposite", language, polite + template.format(one), template.format(other))
        for one, other in UNITS:
            for text in ("How long does it take to cover {}?", "Is {} too much?", "What is {} in the other unit?"):
                yield Pair("unit", "en", polite + text.format(one), text.format(other))
        for language, templates in FILLED.items():
            for template in templates:
                yield from _filled(language, template, polite)


def _filled(language: str, template: str, polite: str) -> Iterator[Pair]:
    if "{x}" in template:
        yield from (
            Pair("number", language, polite + template.format(x=a), template.format(x=b))
            for a, b in permutations(NUMBERS, 2)
        )
    elif "{v}" in template:
        yield from (
            Pair("version", language, polite + template.format(v=a), template.format(v=b))
            for a, b in permutations(VERSIONS, 2)
        )
    elif "{d}" in template:
        dates = DATES.get(language, DATES_DEFAULT)
        yield from (
            Pair("date", language, polite + template.format(d=a), template.format(d=b))
            for a, b in permutations(dates, 2)
        )
    elif "{b}" in template:
        yield from (
            Pair("role", language, polite + template.format(a=a, b=b), template.format(a=b, b=a))
            for a, b in permutations(NAMES, 2)
        )
    else:
        yield from (
            Pair("name", language, polite + template.format(a=a), template.format(a=b))
            for a, b in permutations(NAMES, 2)
        )
