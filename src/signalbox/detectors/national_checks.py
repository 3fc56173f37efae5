"""The check of each national identifier over its bare characters (separators removed), as its issuer defines it."""

from __future__ import annotations

import re
from datetime import date

from signalbox.detectors.checksums import ean13, iso7064_mod11_2, iso7064_mod11_10, luhn, weighted

_DNI_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_HETU_MARKS = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_CF_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
_CF_OMOCODIA = str.maketrans("LMNPQRSTUV", "0123456789")
_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_PAN_IN = re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]")
_CURP = re.compile(r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{2}[B-DF-HJ-NP-TV-Z]{3}[0-9A-Z]\d")
_NRIC_ST, _NRIC_FG = "JZIHGFEDCBA", "XWUTRQPNMLK"


def _day(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True


def _day_6(yymmdd: str) -> bool:
    """A date of two-digit year, month, day in some century; 29 February only where one of them leaps."""
    year, month, day = int(yymmdd[:2]), int(yymmdd[2:4]), int(yymmdd[4:6])
    return _day(2000 + year, month, day) or _day(1900 + year, month, day)


def us_ssn(d: str) -> bool:
    return d[:3] not in ("000", "666") and d[0] != "9" and d[3:5] != "00" and d[5:] != "0000"


def us_itin(d: str) -> bool:
    group = int(d[3:5])
    return d[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def us_npi(d: str) -> bool:
    return d[0] in "12" and luhn("80840" + d)


def uk_nino(t: str) -> bool:
    return _NINO.fullmatch(t) is not None


def uk_nhs(d: str) -> bool:
    check = 11 - weighted(d[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return check != 10 and check % 11 == int(d[9]) and len(set(d)) > 1


def de_steuer_id(d: str) -> bool:
    """Of the first ten digits exactly one occurs twice or thrice, as the law has it."""
    counts = sorted(d[:10].count(digit) for digit in set(d[:10]))
    return d[0] != "0" and counts[-1] in (2, 3) and (len(counts) < 2 or counts[-2] == 1) and iso7064_mod11_10(d)


def de_rvnr(t: str) -> bool:
    """Pension insurance number: area, birth date, initial, serial, check."""
    digits = t[:8] + f"{ord(t[8]) - 64:02d}" + t[9:11]
    total = sum(sum(divmod(int(c) * w, 10)) for c, w in zip(digits, (2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1), strict=True))
    return total % 10 == int(t[11]) and 1 <= int(t[4:6]) <= 12


def icao9303(t: str) -> bool:
    """Machine-readable documents: weights 7 3 1, letters count from A = 10; the last character is the check."""
    total = sum(int(char, 36) * (7, 3, 1)[i % 3] for i, char in enumerate(t[:-1]))
    return t[-1].isdigit() and total % 10 == int(t[-1])


def fr_nir(t: str) -> bool:
    """Sex, year, month, department (2A and 2B count as 19 and 18), order, key = 97 - n mod 97."""
    number = t[:13].replace("2A", "19", 1).replace("2B", "18", 1) if "A" in t or "B" in t else t[:13]
    month = t[3:5]
    return (
        number.isdigit()
        and t[0] in "123478"
        and (("01" <= month <= "12") or "20" <= month <= "42" or month >= "50")
        and 97 - int(number) % 97 == int(t[13:])
    )


def fr_spi(d: str) -> bool:
    return d[0] in "0123" and int(d[:10]) % 511 == int(d[10:])


def es_dni(t: str) -> bool:
    return t[-1] == _DNI_LETTERS[int(t[:-1]) % 23]


def es_nie(t: str) -> bool:
    return t[0] in "XYZ" and es_dni(str("XYZ".index(t[0])) + t[1:])


def es_cif(t: str) -> bool:
    if t[0] not in "ABCDEFGHJNPQRSUVW":
        return False
    total = sum(map(int, t[2:8:2])) + sum(sum(divmod(int(c) * 2, 10)) for c in t[1:8:2])
    check = -total % 10
    return t[8] == str(check) or t[8] == "JABCDEFGHI"[check]


def it_codice_fiscale(t: str) -> bool:
    plain = [int(char, 36) - 10 if char.isalpha() else int(char) for char in t]
    total = sum(_CF_ODD[v] if i % 2 == 0 else v for i, v in enumerate(plain[:15]))
    day = t[9:11].translate(_CF_OMOCODIA)
    return t[8] in "ABCDEHLMPRST" and day.isdigit() and 1 <= int(day) % 40 <= 31 and chr(65 + total % 26) == t[15]


def it_partita_iva(d: str) -> bool:
    return luhn(d) and d != "0" * 11


def nl_bsn(d: str) -> bool:
    return weighted(d, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0 and d != "0" * 9


def pl_pesel(d: str) -> bool:
    year, month = int(d[:2]), int(d[2:4])
    century = {0: 1900, 1: 2000, 2: 2100, 3: 2200, 4: 1800}[month // 20]
    return weighted(d, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0 and _day(century + year, month % 20, int(d[4:6]))


def pl_nip(d: str) -> bool:
    return weighted(d[:9], (6, 5, 7, 2, 3, 4, 5, 6, 7)) % 11 == int(d[9]) and d[:3] != "000"


def pl_regon(d: str) -> bool:
    return weighted(d[:8], (8, 9, 2, 3, 4, 5, 6, 7)) % 11 % 10 == int(d[8])


def pl_dowod(t: str) -> bool:
    total = sum(int(char, 36) * w for char, w in zip(t, (7, 3, 1, 9, 7, 3, 1, 7, 3), strict=True))
    return total % 10 == 0


def pl_passport(t: str) -> bool:
    total = sum(int(char, 36) * w for char, w in zip(t, (7, 3, 9, 1, 7, 3, 1, 7, 3), strict=True))
    return total % 10 == 0


def se_personnummer(d: str) -> bool:
    """Luhn over ten digits; coordination numbers have 60 added to the day."""
    d = d[-10:]
    day = int(d[4:6])
    return luhn(d) and _day_6(d[:4] + f"{day - 60 if day > 60 else day:02d}")


def fi_hetu(t: str) -> bool:
    digits = t[:6] + t[-4:-1]
    return digits.isdigit() and _HETU_MARKS[int(digits) % 31] == t[-1] and _day_6(t[4:6] + t[2:4] + t[:2])


def dk_cpr(d: str) -> bool:
    """A date only: since 2007 numbers are issued that fail the old modulus 11."""
    return _day_6(d[4:6] + d[2:4] + d[:2])


def dk_cpr_mod11(d: str) -> bool:
    return dk_cpr(d) and weighted(d, (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def no_fnr(d: str) -> bool:
    day, month = int(d[:2]), int(d[2:4])
    return (
        weighted(d[:10], (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(d, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
        and 1 <= (day - 40 if day > 40 else day) <= 31
        and 1 <= (month - 40 if month > 40 else month) <= 12
    )


def be_rrn(d: str) -> bool:
    """97 minus the rest by 97 of nine digits, with a 2 before them for those born since 2000."""
    check = int(d[9:])
    return int(d[2:4]) % 20 <= 12 and (97 - int(d[:9]) % 97 == check or 97 - int("2" + d[:9]) % 97 == check)


def pt_nif(d: str) -> bool:
    check = 11 - weighted(d[:8], (9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return d[0] in "1235689" and (0 if check >= 10 else check) == int(d[8])


def ch_ahv(d: str) -> bool:
    return d.startswith("756") and ean13(d)


def at_svnr(d: str) -> bool:
    check = weighted(d, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11
    return d[0] != "0" and check == int(d[3]) and 1 <= int(d[4:6]) <= 31 and 1 <= int(d[6:8]) <= 15


def ie_pps(t: str) -> bool:
    total = weighted(t[:7], (8, 7, 6, 5, 4, 3, 2))
    if len(t) == 9:
        total += 9 * (ord(t[8]) - 64 if t[8] != "W" else 0)
    return "WABCDEFGHIJKLMNOPQRSTUV"[total % 23] == t[7]


def gr_afm(d: str) -> bool:
    return weighted(d[:8], (256, 128, 64, 32, 16, 8, 4, 2)) % 11 % 10 == int(d[8]) and d != "0" * 9


def cz_rc(d: str) -> bool:
    """Ten digits divisible by 11 (the rest 10 written as 0); women have 50 added to the month."""
    month = int(d[2:4]) % 50 % 20
    return (int(d) % 11 == 0 or (int(d[:9]) % 11 == 10 and d[9] == "0")) and 1 <= month <= 12 and 1 <= int(d[4:6]) <= 31


def ro_cnp(d: str) -> bool:
    check = weighted(d[:12], (2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)) % 11
    return d[0] in "12345678" and _day_6(d[1:7]) and (1 if check == 10 else check) == int(d[12])


def bg_egn(d: str) -> bool:
    month = int(d[2:4])
    month -= 40 if month > 40 else 20 if month > 20 else 0
    check = weighted(d[:9], (2, 4, 8, 5, 10, 9, 7, 3, 6)) % 11 % 10
    return _day_6(d[:2] + f"{month:02d}" + d[4:6]) and check == int(d[9])


def hr_oib(d: str) -> bool:
    return iso7064_mod11_10(d)


def ee_isikukood(d: str) -> bool:
    """Estonia and Lithuania share it."""
    check = weighted(d[:10], (1, 2, 3, 4, 5, 6, 7, 8, 9, 1)) % 11
    if check == 10:
        check = weighted(d[:10], (3, 4, 5, 6, 7, 8, 9, 1, 2, 3)) % 11 % 10
    return d[0] in "123456" and _day_6(d[1:7]) and check == int(d[10])


def tr_kimlik(d: str) -> bool:
    odd, even = sum(map(int, d[0:9:2])), sum(map(int, d[1:8:2]))
    return d[0] != "0" and (odd * 7 - even) % 10 == int(d[9]) and sum(map(int, d[:10])) % 10 == int(d[10])


def il_id(d: str) -> bool:
    return luhn(d) and d != "0" * 9


def sa_id(d: str) -> bool:
    """Saudi national identity (1) and residence permit (2)."""
    return d[0] in "12" and luhn(d)


def ae_emirates_form(d: str) -> bool:
    """The code of the country and a year of birth, whatever the check digit says."""
    return d.startswith("784") and "1900" <= d[3:7] <= "2100"


def ae_emirates_id(d: str) -> bool:
    return ae_emirates_form(d) and luhn(d)


def in_pan(t: str) -> bool:
    return _PAN_IN.fullmatch(t) is not None


def cn_resident(t: str) -> bool:
    return t[:17].isdigit() and _day(int(t[6:10]), int(t[10:12]), int(t[12:14])) and iso7064_mod11_2(t)


def kr_rrn(d: str) -> bool:
    """Date and sex digit; numbers issued since October 2020 have no check digit."""
    return _day_6(d[:6]) and d[6] in "12345678"


def kr_rrn_checked(d: str) -> bool:
    return kr_rrn(d) and (11 - weighted(d[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)) % 11) % 10 == int(d[12])


def jp_my_number(d: str) -> bool:
    rest = weighted(d[:11], (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if rest <= 1 else 11 - rest) == int(d[11])


def tw_id(t: str) -> bool:
    code = "ABCDEFGHJKLMNPQRSTUVXYWZIO".index(t[0]) + 10
    return t[1] in "1289" and (code // 10 + code % 10 * 9 + weighted(t[1:], (8, 7, 6, 5, 4, 3, 2, 1, 1))) % 10 == 0


def sg_nric(t: str) -> bool:
    total = weighted(t[1:8], (2, 7, 6, 5, 4, 3, 2))
    if t[0] in "ST":
        return _NRIC_ST[(total + (4 if t[0] == "T" else 0)) % 11] == t[8]
    return t[0] in "FG" and _NRIC_FG[(total + (4 if t[0] == "G" else 0)) % 11] == t[8]


def th_id(d: str) -> bool:
    return d[0] != "0" and (11 - weighted(d[:12], (13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 10 == int(d[12])


def za_id(d: str) -> bool:
    return _day_6(d[:6]) and d[10] in "012" and luhn(d)


def br_cpf(d: str) -> bool:
    if len(set(d)) == 1:
        return False
    first = weighted(d[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    second = weighted(d[:10], (11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) * 10 % 11 % 10
    return first == int(d[9]) and second == int(d[10])


def br_cnpj(d: str) -> bool:
    first = weighted(d[:12], (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    second = weighted(d[:13], (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return (0 if first < 2 else 11 - first) == int(d[12]) and (0 if second < 2 else 11 - second) == int(d[13])


def ar_cuit(d: str) -> bool:
    check = -weighted(d[:10], (5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return d[:2] in ("20", "23", "24", "25", "26", "27", "30", "33", "34") and check == int(d[10])


def cl_rut(t: str) -> bool:
    total = sum(int(char) * (2 + i % 6) for i, char in enumerate(reversed(t[:-1])))
    return "0123456789K"[-total % 11] == t[-1]


def mx_curp(t: str) -> bool:
    alphabet = "0123456789ABCDEFGHIJKLMN?OPQRSTUVWXYZ"
    total = sum(alphabet.index(char) * (18 - i) for i, char in enumerate(t[:17]))
    return _CURP.fullmatch(t) is not None and -total % 10 == int(t[17])


def ca_sin(d: str) -> bool:
    return d[0] not in "08" and luhn(d)


def au_tfn(d: str) -> bool:
    return weighted(d, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0 and d != "0" * 9


def au_medicare(d: str) -> bool:
    return d[0] in "23456" and weighted(d[:8], (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(d[8])


def nz_ird(d: str) -> bool:
    for weights in ((3, 2, 7, 6, 5, 4, 3, 2), (7, 4, 3, 2, 5, 2, 7, 6)):
        check = -weighted(d[:8], weights) % 11
        if check < 10:
            return check == int(d[8])
    return False
