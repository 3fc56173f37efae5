"""Check digits of identifiers, each as published by its issuer; every function takes the bare characters."""

from __future__ import annotations

from operator import mul

# By its digit: what a digit counts doubled, with its own digits added up.
_DOUBLED = bytes(sum(divmod(2 * (code - 48), 10)) if 48 <= code <= 57 else 0 for code in range(256))


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B."""
    raw = digits.encode("ascii")
    single = raw[-1::-2]
    return (sum(single) - 48 * len(single) + sum(raw[-2::-2].translate(_DOUBLED))) % 10 == 0


def mod97(text: str) -> bool:
    """ISO 7064 MOD 97-10 over letters (A = 10) and digits, as IBANs use it after rotation."""
    return int("".join(str(int(char, 36)) for char in text)) % 97 == 1


def weighted(digits: str, weights: tuple[int, ...]) -> int:
    """The sum of digits times weights, position by position."""
    raw = digits.encode("latin-1", "replace")
    return sum(map(mul, weights, raw)) - 48 * sum(weights[: len(raw)])


def iso7064_mod11_10(digits: str) -> bool:
    """The hybrid system of the German tax number and the Croatian OIB."""
    product = 10
    for char in digits[:-1]:
        product = ((int(char) + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def iso7064_mod11_2(text: str) -> bool:
    """ISO 7064 MOD 11-2, last character may be X: Chinese resident numbers."""
    total = 0
    for char in text[:-1]:
        total = (total + int(char)) * 2 % 11
    check = (12 - total) % 11
    return text[-1].upper() == ("X" if check == 10 else str(check))


_VERHOEFF_D = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_VERHOEFF_P = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)


def verhoeff(digits: str) -> bool:
    """Verhoeff's dihedral check, used by Aadhaar."""
    check = 0
    for position, char in enumerate(reversed(digits)):
        check = _VERHOEFF_D[check][_VERHOEFF_P[position % 8][int(char)]]
    return check == 0


def ean13(digits: str) -> bool:
    """GS1 check digit over 13 digits, used by the Swiss AHV number."""
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0
