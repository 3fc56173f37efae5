"""Numbers that identify: published specimens, numbers made for every table entry, and mutants of both."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signalbox.core.labels import NONE
from signalbox.detectors import bank, national_checks
from signalbox.detectors.cards import brand
from signalbox.detectors.checksums import luhn, verhoeff
from signalbox.detectors.found import RAISES, Found
from signalbox.detectors.national_table import NATIONAL
from signalbox.detectors.scan import classify, scan

# Specimens that issuers, standards and encyclopaedias print.
SPECIMENS = [
    ("es_dni", "12345678Z"),
    ("es_nie", "X1234567L"),
    ("es_cif", "J99216582"),
    ("it_codice_fiscale", "RSSMRA85T10A562S"),
    ("it_partita_iva", "00743110157"),
    ("uk_nino", "AB123456C"),
    ("uk_nhs", "9434765919"),
    ("fr_nir", "255081416802538"),
    ("fr_spi", "3023217600053"),
    ("de_steuer_id", "86095742719"),
    ("de_steuer_id", "47036892816"),
    ("de_rvnr", "15070649C103"),
    ("icao9303", "T220001293"),
    ("nl_bsn", "111222333"),
    ("nl_bsn", "123456782"),
    ("pl_pesel", "44051401359"),
    ("pl_nip", "1234563218"),
    ("pl_regon", "123456785"),
    ("pl_dowod", "ABA300000"),
    ("se_personnummer", "8112289874"),
    ("fi_hetu", "131052-308T"),
    ("dk_cpr_mod11", "0707614285"),
    ("no_fnr", "29029600013"),
    ("be_rrn", "85073003328"),
    ("pt_nif", "501964843"),
    ("ch_ahv", "7569217076985"),
    ("at_svnr", "1237010180"),
    ("ie_pps", "6433435F"),
    ("cz_rc", "7103192745"),
    ("ro_cnp", "1630615123457"),
    ("bg_egn", "7523169263"),
    ("hr_oib", "33392005961"),
    ("ee_isikukood", "37605030299"),
    ("ee_isikukood", "33309240064"),
    ("gr_afm", "094259216"),
    ("tr_kimlik", "17291716060"),
    ("il_id", "039337423"),
    ("in_pan", "ACUPA7085R"),
    ("cn_resident", "11010519491231002X"),
    ("tw_id", "A123456789"),
    ("sg_nric", "S1234567D"),
    ("za_id", "7503305044089"),
    ("th_id", "1234545678781"),
    ("jp_my_number", "123456789018"),
    ("br_cpf", "39053344705"),
    ("br_cnpj", "16727230000197"),
    ("ar_cuit", "20055361682"),
    ("cl_rut", "125319092"),
    ("mx_curp", "BOXW310820HNERXN09"),
    ("ca_sin", "123456782"),
    ("au_tfn", "123456782"),
    ("au_medicare", "2123456701"),
    ("nz_ird", "136410132"),
    ("us_npi", "1234567893"),
    ("us_itin", "912903456"),
]
# Checks of form alone: a changed digit may give another well-formed number.
FORM_ONLY = {"uk_nino", "in_pan", "us_itin"}

IBANS = [
    "DE89370400440532013000",
    "GB82WEST12345698765432",
    "FR1420041010050500013M02606",
    "ES9121000418450200051332",
    "IT60X0542811101000000123456",
    "NL91ABNA0417164300",
    "PL61109010140000071219812874",
    "CH9300762011623852957",
    "AT611904300234573201",
    "BE68539007547034",
    "SE4550000000058398257466",
    "NO9386011117947",
    "DK5000400440116243",
    "FI2112345600000785",
    "PT50000201231234567890154",
    "SA0380000000608010167519",
    "AE070331234567890123456",
    "TR330006100519786457841326",
    "IE29AIBK93115212345678",
    "LU280019400644750000",
    "CZ6508000000192000145399",
    "GR1601101250000000012300695",
    "HU42117730161111101800000000",
    "RO49AAAA1B31007593840000",
]

CARDS = {
    "4111111111111111": "visa",
    "4222222222222": "visa",
    "5555555555554444": "mastercard",
    "2223003122003222": "mastercard",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "30569309025904": "diners",
    "3530111333300000": "jcb",
    "6240008631401148": "unionpay",
    "6759649826438453": "maestro",
}


def mutants(text: str) -> list[str]:
    """Every text with one digit changed to the next."""
    return [
        text[:at] + str((int(char) + 1) % 10) + text[at + 1 :] for at, char in enumerate(text) if char in "0123456789"
    ]


def kinds(text: str) -> set[str]:
    return {found.kind for found in scan(text) if found.confidence >= RAISES}


@pytest.mark.parametrize(("check", "number"), SPECIMENS, ids=[f"{c}-{n}" for c, n in SPECIMENS])
def test_published_specimens_pass_and_their_mutants_fail(check: str, number: str) -> None:
    function = getattr(national_checks, check)
    assert function(number)
    if check not in FORM_ONLY:
        passing = sum(
            bool(function(mutant)) for mutant in mutants(number) if mutant[-1:].isdigit() or not mutant.isdigit()
        )
        assert passing <= len(number) // 4


def test_verhoeff_finds_every_single_error_and_swap() -> None:
    assert verhoeff("234123412346")
    assert not any(verhoeff(mutant) for mutant in mutants("234123412346"))
    number = "234123412346"
    swapped = [
        number[:i] + number[i + 1] + number[i] + number[i + 2 :] for i in range(11) if number[i] != number[i + 1]
    ]
    assert not any(verhoeff(swap) for swap in swapped)


def written(shape: str, chance: random.Random) -> str:
    return "".join(
        chance.choice("0123456789") if c == "0" else chance.choice("ABCDEFGHJKLMNPRSTUVWXYZ") if c == "A" else c
        for c in shape
    )


def made(entry_index: int, shape: str) -> str | None:
    """A number of this form that passes the entry's check, found by trying."""
    entry, chance = NATIONAL[entry_index], random.Random(f"{entry_index}{shape}")
    for _ in range(60_000):
        number = written(shape, chance)
        if entry.check is None or entry.check(re.sub(r"[ .\-/()+]", "", number)):
            return number
    return None


NAMED = [(index, shape) for index, entry in enumerate(NATIONAL) for shape in entry.shapes if entry.named >= 0.9]
# Forms too rare to be hit by chance; the specimens above cover their checks.
RARE = {"mx-curp", "cn-resident-id", "it-codice-fiscale", "ch-ahv", "ae-emirates-id", "za-id", "ro-cnp", "br-cnpj"}


@pytest.mark.parametrize(("index", "shape"), NAMED, ids=[f"{NATIONAL[i].kind}-{s}" for i, s in NAMED])
def test_every_written_form_is_found_behind_its_word(index: int, shape: str) -> None:
    entry = NATIONAL[index]
    number = made(index, shape)
    if number is None:
        assert entry.kind in RARE
        return
    text = f"Please note, {entry.words[0]}: {number}, as agreed."
    found = [one for one in scan(text) if one.tag in ("national-id", "pci") and one.confidence >= RAISES]
    assert any(text[one.start : one.end] in number for one in found), (entry.kind, number)


def test_a_letter_that_identifiers_have_not_is_no_wrong_one_to_ask_a_check_for() -> None:
    for at, entry in enumerate(NATIONAL):
        for shape in entry.shapes:
            number = made(at, shape) or written(shape, random.Random(1))
            for place, char in enumerate(number):
                if char.isalpha():
                    odd = f"{number[:place]}É{number[place + 1 :]}"
                    for text in (f"a {odd}, as agreed", f"{entry.words[0]}: {odd}"):
                        assert not any(one.confidence >= 0.9 for one in scan(text) if entry.check is not None)


@pytest.mark.parametrize(
    "text",
    [
        "SSN 219-09-9999",
        "My social is 078 05 1120.",
        "DNI 12345678Z",
        "codice fiscale RSSMRA85T10A562S",
        "PESEL 44051401359",
        "personnummer 811228-9874",
        "hetu 131052-308T",
        "CPF 390.533.447-05",
        "CURP BOXW310820HNERXN09",
        "AHV 756.9217.0769.85",
        "rijksregisternummer 85.07.30-033.28",
        "Aadhaar 2341 2341 2346",
        "T.C. kimlik no 17291716060",
        "NI number AB 12 34 56 C",
        "rodné číslo 710319/2745",
        "身份证 11010519491231002X",
        "Steuer-ID 86 095 742 719",
        "n° de sécurité sociale 2 55 08 14 168 025 38",
        "BSN: 111222333",
        "NPI: 1234567893",
        "NHS 943 476 5919",
    ],
)
def test_identifiers_in_sentences(text: str) -> None:
    assert "national-id" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "Order 123456789 shipped on 2024-05-17.",
        "build 20240517.1 took 1234567 ms",
        "commit 9f8c2d1e4b7a4c3e9d2f",
        "The total was 1 234 567 890 in 2023.",
        "id=9f8c2d1e-4b7a-4c3e-9d2f-000000000000",
        "version 10.15.7.1 or 1.2.3",
        "between 1995-2005 and 2010-2015",
        "pi is 3.141592653589793",
        "ISBN 978-3-16-148410-0",
        "timestamp 1718031234567",
        "0x7fff5fbff8a0",
        "width: 1920px; height: 1080px",
        "12:34:56.789",
        "PO 4500012345",
        "SKU-00012-AB-99",
    ],
)
def test_other_numbers_raise_nothing(text: str) -> None:
    assert classify(text) == NONE


@pytest.mark.parametrize(("number", "name"), CARDS.items())
def test_cards_of_every_network(number: str, name: str) -> None:
    assert brand(number) == name
    assert name in kinds(f"card {number} please")
    assert not any(luhn(mutant) for mutant in mutants(number))


@pytest.mark.parametrize(
    "form",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "3782 822463 10005",
        "4111111111111111",
        "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
    ],
)
def test_cards_in_every_grouping(form: str) -> None:
    found = [one for one in scan(f"pay with {form}, thanks") if one.tag == "pci"]
    assert [f"pay with {form}, thanks"[one.start : one.end] for one in found] == [form]


def test_two_cards_in_a_row_are_two() -> None:
    found = [
        one
        for one in scan("4111 1111 1111 1111 5555 5555 5555 4444")
        if one.tag == "pci" and one.kind in CARDS.values()
    ]
    assert {(one.start, one.end) for one in found} >= {(0, 19), (20, 39)}


@pytest.mark.parametrize(
    "text", ["CVV: 123", "security code is 4321 for the card", "cvc2 987", "%B4111111111111111^DOE/J^2512101"]
)
def test_card_authentication_data(text: str) -> None:
    assert {"pci", "pci-sad"} <= set(classify(text).names())
    assert {one.tag for one in scan(text)} == {"pci", "pci-sad"}


@pytest.mark.parametrize("text", ["card 4111 1111 1111 1111", "cid: 1234", "the security code of the door is 4321"])
def test_what_may_be_kept_is_no_authentication_data(text: str) -> None:
    assert "pci-sad" not in classify(text).names()


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "PL61 1090 1014 0000 0712 1981 2874", "44051401359"])
def test_tabs_between_digits_are_blanks(number: str) -> None:
    for text in (number.replace(" ", "\t"), f"{number}\t00", f"1\t{number}"):
        scan(text)  # neither a tab that is taken for a digit, nor a traceback
    assert scan(number.replace(" ", "\t"))


@pytest.mark.parametrize("number", IBANS)
def test_ibans_solid_grouped_and_mutated(number: str) -> None:
    grouped = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    assert bank.iban(number)
    for form in (number, grouped, f"IBAN {number.lower()}", number[:2] + " ".join(number[2:])):
        text = f"to {form}."
        assert "financial" in classify(text).names(), form
    assert not any(bank.iban(mutant) for mutant in mutants(number))


@given(st.sampled_from(IBANS), st.data())
@settings(max_examples=100, deadline=None)
def test_mutated_ibans_raise_no_financial_label(number: str, data: st.DataObject) -> None:
    mutant = data.draw(st.sampled_from(mutants(number)))
    assert not any(one.kind == "iban" for one in scan(f"send to {mutant} now"))


@pytest.mark.parametrize(
    "text",
    [
        "routing number 021000021",
        "sort code 12-34-56",
        "SWIFT: DEUTDEFF500",
        "Kontonummer: 1234567890",
        "account no. 12345678",
    ],
)
def test_bank_data_behind_words(text: str) -> None:
    assert "financial" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "call (212) 555-0142",
        "+49 30 901820",
        "+44 20 7946 0958",
        "tel. 06 12 34 56 78",
        "mobile: 0171 2345678",
        "teléfono 612 345 678",
        "telefon +48 22 123 45 67",
        "+33 6 12 34 56 78",
        "+1-800-555-0199 x42",
        "phone 555-867-5309",
        "puhelin 040 1234567",
        "тел. +7 495 123-45-67",
        "電話 +81 3-1234-5678",
        "WhatsApp +971 50 123 4567",
        "fax 020 7946 0958",
    ],
)
def test_telephone_numbers(text: str) -> None:
    assert "personal" in classify(text).names()


@pytest.mark.parametrize(
    "number",
    ["212-555-0142x4587", "(212)555-0142x0135", "212.555.0142x459", "001-212-555-0142x92556", "+1-212-555-0142x769"],
)
def test_an_extension_belongs_to_its_number(number: str) -> None:
    text = f"Office: {number}, third floor"
    assert [text[f.start : f.end] for f in scan(text) if f.tag == "personal"] == [number]


@pytest.mark.parametrize(
    "text",
    [
        "part 212-555-0142xyz",
        "commit 212-555-0142abc",
        "order number 694057912",
        "Insurance number: 1234-567-890",
        "invoice 007-654321",
        "Pages 123–145, 2019–2021, 100–200 000 words",
    ],
)
def test_what_only_looks_like_a_telephone_number(text: str) -> None:
    assert "personal" not in classify(text).names()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("passport no. 533401234", "passport"),
        ("my passport number is C01X00T47.", "passport"),
        ('{"passport_number": "AB1234567"}', "passport"),
        ("Reisepass-Nr. C01X00T47", "passport"),
        ("My driver's license number is 6940579.", "driving-licence"),
        ("drivers license: F123-456-78-901-0", "driving-licence"),
        ("driving licence MORGA657054SM9IJ", "driving-licence"),
    ],
)
def test_identity_documents_behind_their_words(text: str, kind: str) -> None:
    assert kind in kinds(text)
    assert "national-id" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "passport 0.6.0 and passport-http 1.0.12345678",
        "license number 6940579",
        "the passport office in 20 12345678 street",
        "passport control opens at 0800, gate 1234567",
        "a driver license manager v20231234.5",
    ],
)
def test_what_only_stands_near_words_for_documents(text: str) -> None:
    assert "national-id" not in classify(text).names()


@pytest.mark.parametrize(
    "number",
    ["4111 1111\n1111 1111", "4111 1111 1111-\n1111", "4111 1111 \n1111 1111", "41111111\n11111111",
     "3782 822463\n10005"],
)  # fmt: skip
def test_a_card_over_two_lines(number: str) -> None:
    text = f"please take my card {number}, thank you"
    assert [text[f.start : f.end] for f in scan(text) if f.tag == "pci"] == [number]
    assert "pci" in classify(f"Visa:\n{number}\n").names()


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111\n1111 1111",  # a table
        "card 4111 1111\n1111 1112",
        "card 4111 1111\n1111 1111 1111",
        "card 1 4111 1111\n1111 1111",
        "card 4111\n1111\n1111\n1111",
    ],
)
def test_columns_of_numbers_are_no_card(text: str) -> None:
    assert "pci" not in classify(text).names()


@pytest.mark.parametrize("dash", ["\u2010", "\u2011", "\u2012", "\u2013", "\u2212"])
def test_any_dash_joins_a_number(dash: str) -> None:
    text = f"her SSN is {dash.join(('123', '45', '6789'))}."
    assert [(f.kind, text[f.start : f.end]) for f in scan(text)] == [("us-ssn", text[11:22])]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("784-1980-1234567-1", True),  # a wrong check digit
        ("784-1980-1234567-9", True),
        ("785-1980-1234567-1", False),
        ("784-3980-1234567-1", False),
        ("784198012345671", False),
    ],
)
def test_an_emirates_id_without_a_word(text: str, found: bool) -> None:
    assert ("national-id" in classify(f"see {text} there").names()) is found


@pytest.mark.parametrize(
    ("text", "kind", "raises"),
    [
        ("from 8.8.8.8 today", "ipv4", True),
        ("host 10.0.0.1", "ipv4", False),
        ("2001:4860:4860::8888", "ipv6", True),
        ("::1 is local", "ipv6", False),
        ("aa:bb:cc:dd:ee:ff", "mac", True),
        ("fe80::1ff:fe23:4567:890a", "ipv6", False),
    ],
)
def test_addresses_of_machines(text: str, kind: str, raises: bool) -> None:
    assert ("personal" in classify(text).names()) is raises
    assert not raises or kind in kinds(text)


@pytest.mark.parametrize(
    "text", ["std::vector<int> v", "a::b::c", "at 12:30:45", "256.1.1.1", "version 1.2.3.4", "{a: {b: {c: 1}}}"]
)
def test_what_only_looks_like_an_address(text: str) -> None:
    assert "personal" not in classify(text).names()


@pytest.mark.parametrize(
    "address", ["a@b.co", "first.last+tag@sub.example.org", "o'neil@firm.ie", "x_y-z@münchen.de", "USER@HOST.COM"]
)
def test_email_addresses(address: str) -> None:
    text = f"write to <{address}>, please"
    assert [text[one.start : one.end] for one in scan(text) if one.kind == "email"] == [address]


@pytest.mark.parametrize("text", ["@decorator", "a @ b", "user@localhost", "logo@2x.png", "@@@", "me@", "git@github"])
def test_what_only_has_an_at_sign(text: str) -> None:
    assert classify(text) == NONE


def raising(text: str) -> list[Found]:
    return [one for one in scan(text) if one.confidence >= RAISES]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("my card is 3593 1567 0821 3738", "3593 1567 0821 3738"),  # an issuer range of tomorrow
        ("bill the credit card 060426070011", "060426070011"),
    ],
)
def test_a_number_that_is_said_to_be_a_card_needs_no_known_issuer(text: str, value: str) -> None:
    start = text.index(value)
    assert [(one.tag, one.start, one.end) for one in raising(text)] == [("pci", start, start + len(value))]


@pytest.mark.parametrize(
    "text",
    [
        "order 060426070011 was paid",
        "my card for order 060426070011",
        "sim card 8944500102198304826",
        "the card was used at 1700000000005",
    ],
)
def test_other_numbers_beside_cards_are_none(text: str) -> None:
    assert not [one for one in raising(text) if one.tag == "pci"]


def test_ranges_and_hosts_of_networks_are_addresses() -> None:
    text = "allow 8.8.4.4-8.8.8.8 and 9.9.9.9/24"
    assert [text[one.start : one.end] for one in raising(text)] == ["8.8.4.4", "8.8.8.8", "9.9.9.9"]


@pytest.mark.parametrize(
    "text", ["see section 1.2.3.4", "Abschnitt 8.8.8.8", "allow 8.8.8.0/24", "route to 10.2.3.4", "my ip is 127.0.0.1"]
)
def test_what_is_written_like_an_address_and_is_nobodys(text: str) -> None:
    assert raising(text) == []


def test_an_address_inside_a_network_is_somebodys_where_that_is_said() -> None:
    assert [one.kind for one in raising("my address 10.2.8.31 is blocked by your site")] == ["ipv4"]


def test_the_number_of_a_record_is_no_identity_number_but_its_patients() -> None:
    text = "MRN: 219-09-9999"
    assert {one.tag for one in raising(text)} == {"phi"}
    assert {one.tag for one in raising("SSN: 219-09-9999")} == {"national-id"}
    assert "national-id" in {one.tag for one in raising("policy number 219-09-9999")}  # nothing clinical: the safe side
