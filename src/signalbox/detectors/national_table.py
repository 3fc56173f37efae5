"""The table of national identifiers: written forms, check, words that announce them, and what each is worth."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from signalbox.detectors import national_checks as check
from signalbox.detectors.checksums import verhoeff


class NationalId(msgspec.Struct, frozen=True):
    """shapes: written forms, A for a capital and 0 for a digit. named, alone: confidence when the check holds, with
    and without one of `words` near; invalid: confidence when named but the check fails (typing errors, masked or
    never-issued numbers), 0 to ignore. `alone` below 0.5 means: only context makes it one."""

    kind: str
    shapes: tuple[str, ...]
    check: Callable[[str], bool] | None
    words: tuple[str, ...]
    named: float = 0.97
    alone: float = 0.3
    invalid: float = 0.0


_ID_EN = ("id", "identity", "identification", "national", "citizen", "resident", "passport")

NATIONAL: tuple[NationalId, ...] = (
    NationalId("us-ssn", ("000-00-0000", "000 00 0000"), check.us_ssn,
               ("ssn", "social", "ss", "socials", "itin", "ssns"), 0.99, 0.8, 0.9),
    NationalId("us-ssn", ("000000000", "000.00.0000"), check.us_ssn, ("ssn", "social", "ssns"), 0.95, 0.0, 0.8),
    NationalId("us-itin", ("000-00-0000", "000 00 0000"), check.us_itin,
               ("itin", "taxpayer", "tax", "ssn"), 0.97, 0.6),
    NationalId("us-ein", ("00-0000000",), None, ("ein", "employer", "fein"), 0.9, 0.0),
    NationalId("us-npi", ("0000000000",), check.us_npi, ("npi", "provider"), 0.97, 0.2),
    NationalId("us-mbi", ("0AA0AA0AA00", "0AA0-AA0-AA00", "0A00A00AA00", "0A00-A00-AA00", "0AA0A00AA00", "0A00AA0AA00"),
               None, ("mbi", "medicare", "beneficiary"), 0.95, 0.6),
    NationalId("uk-nino", ("AA000000A", "AA 00 00 00 A", "AA-00-00-00-A", "AA 000000 A", "AA 000000A"),
               check.uk_nino, ("ni", "nino", "insurance", "national"), 0.98, 0.75),
    NationalId("uk-nhs", ("000 000 0000", "000-000-0000", "0000000000"), check.uk_nhs, ("nhs",), 0.97, 0.1),
    NationalId("de-steuer-id", ("00000000000", "00 000 000 000"), check.de_steuer_id,
               ("steuer", "steuerid", "idnr", "identifikationsnummer", "steueridentifikationsnummer", "tin", "tax",
                "steuernummer", "steueridnr", "taxid"), 0.97, 0.4),
    NationalId("de-rvnr", ("00000000A000", "00 000000 A 000", "00 000000 A 00 0"), check.de_rvnr,
               ("rentenversicherungsnummer", "sozialversicherungsnummer", "sv", "svnr", "rvnr", "versicherungsnummer"),
               0.97, 0.7),
    NationalId("de-ausweis", ("A00A0AA000", "A00A00A000", "AA00A00A00", "A000000000", "AA0000A000"), check.icao9303,
               ("ausweis", "personalausweis", "ausweisnummer", "reisepass", "pass", "passnummer"), 0.93, 0.2),
    NationalId("fr-nir", ("000000000000000", "0 00 00 00 000 000 00", "0000000000000 00",
                          "00000A000000000", "0 00 00 0A 000 000 00"), check.fr_nir,
               ("nir", "sécurité", "securite", "sociale", "sécu", "insee", "secu"), 0.98, 0.7),
    NationalId("fr-spi", ("0000000000000", "00 00 000 000 000"), check.fr_spi,
               ("fiscal", "fiscale", "spi", "impôts", "impots"), 0.95, 0.2),
    NationalId("es-dni", ("00000000A", "00000000-A", "00.000.000-A", "00.000.000A", "00000000 A"), check.es_dni,
               ("dni", "nif", "documento", "identidad"), 0.98, 0.8),
    NationalId("es-nie", ("A0000000A", "A-0000000-A", "A0000000-A"), check.es_nie,
               ("nie", "extranjero", "nif"), 0.98, 0.75),
    NationalId("es-cif", ("A00000000", "A-00000000", "A0000000A"), check.es_cif, ("cif", "nif"), 0.9, 0.2),
    NationalId("it-codice-fiscale", ("AAAAAA00A00A000A", "AAA AAA 00A00 A000A"), check.it_codice_fiscale,
               ("codice", "fiscale", "cf"), 0.99, 0.95),
    NationalId("it-partita-iva", ("00000000000",), check.it_partita_iva, ("iva", "partita", "piva"), 0.9, 0.1),
    NationalId("nl-bsn", ("000000000", "0000.00.000", "000 000 000", "000.000.000"), check.nl_bsn,
               ("bsn", "burgerservicenummer", "sofinummer", "sofi"), 0.97, 0.2),
    NationalId("pl-pesel", ("00000000000",), check.pl_pesel, ("pesel", "peselu"), 0.99, 0.75, 0.6),
    NationalId("pl-nip", ("0000000000", "000-000-00-00", "000-00-00-000", "000 000 00 00"), check.pl_nip,
               ("nip", "vat", "podatkowy"), 0.96, 0.25, 0.55),
    NationalId("pl-regon", ("000000000",), check.pl_regon, ("regon",), 0.93, 0.1, 0.55),
    NationalId("pl-dowod", ("AAA000000", "AAA 000000", "AAA-000000"), check.pl_dowod,
               ("dowód", "dowod", "dowodu", "osobisty", "osobistego", "osobistym",
                "dowodem", "seria", "serię", "serie"),
        0.97,
        0.55,
        0.6),
    NationalId("pl-passport", ("AA0000000", "AA 0000000", "AA0 000000", "AA0-000000", "AA-0000000"), check.pl_passport,
               ("paszport", "paszportu", "passport", "paszportem"), 0.95, 0.3),
    NationalId("se-personnummer", ("000000-0000", "00000000-0000", "000000000000", "0000000000", "000000+0000"),
               check.se_personnummer, ("personnummer", "personnr", "pnr", "samordningsnummer"), 0.98, 0.3),
    NationalId("fi-hetu", ("000000-000A", "000000A000A", "000000-0000", "000000A0000", "000000+000A"), check.fi_hetu,
               ("henkilötunnus", "hetu", "henkilötunnuksesi", "henkilötunnukseni", "sotu"), 0.98, 0.8),
    NationalId("dk-cpr", ("000000-0000",), check.dk_cpr_mod11,
               ("cpr", "cprnr", "personnummer", "cprnummer"), 0.97, 0.7),
    NationalId("dk-cpr", ("000000-0000", "0000000000"), check.dk_cpr,
               ("cpr", "cprnr", "personnummer", "cprnummer"), 0.95, 0.2),
    NationalId("no-fnr", ("00000000000", "000000 00000"), check.no_fnr,
               ("fødselsnummer", "personnummer", "fnr", "fødselsnr", "dnummer"), 0.98, 0.55),
    NationalId("be-rrn", ("00.00.00-000.00", "00000000000", "00 00 00 000 00", "00.00.00.000.00", "000000-000-00"),
               check.be_rrn, ("rijksregisternummer", "rijksregister", "registre", "nationalregister", "insz", "niss",
                              "rrn", "nationaal"), 0.98, 0.3),
    NationalId("pt-nif", ("000000000", "000 000 000"), check.pt_nif, ("nif", "contribuinte", "fiscal"), 0.95, 0.1),
    NationalId("ch-ahv", ("000.0000.0000.00", "0000000000000", "000 0000 0000 00"), check.ch_ahv,
               ("ahv", "avs", "oasi", "ahvnummer", "sozialversicherungsnummer"), 0.99, 0.9),
    NationalId("at-svnr", ("0000000000", "0000 000000", "0000-000000"), check.at_svnr,
               ("svnr", "sozialversicherungsnummer", "versicherungsnummer", "sv", "vsnr"), 0.96, 0.2),
    NationalId("ie-pps", ("0000000A", "0000000AA"), check.ie_pps, ("pps", "ppsn", "ppsno"), 0.97, 0.5),
    NationalId("gr-afm", ("000000000",), check.gr_afm, ("afm", "tin"), 0.93, 0.05),
    NationalId("cz-rodne-cislo", ("000000/0000",), check.cz_rc, ("rodné", "rodne", "rc", "slo"), 0.98, 0.85),
    NationalId("cz-rodne-cislo", ("0000000000",), check.cz_rc, ("rodné", "rodne", "rc"), 0.95, 0.1),
    NationalId("ro-cnp", ("0000000000000",), check.ro_cnp, ("cnp", "numeric"), 0.98, 0.7),
    NationalId("bg-egn", ("0000000000",), check.bg_egn, ("egn",), 0.96, 0.2),
    NationalId("hr-oib", ("00000000000",), check.hr_oib, ("oib",), 0.96, 0.2),
    NationalId("ee-lt-personal-code", ("00000000000",), check.ee_isikukood,
               ("isikukood", "asmens", "kodas"), 0.98, 0.5),
    NationalId("tr-kimlik", ("00000000000",), check.tr_kimlik, ("kimlik", "tc", "tckn"), 0.98, 0.6),
    NationalId("il-id", ("000000000",), check.il_id, ("zehut", "teudat", "israeli"), 0.93, 0.05),
    NationalId("sa-id", ("0000000000",), check.sa_id, ("iqama", "saudi", "absher", *_ID_EN), 0.9, 0.15),
    NationalId("ae-emirates-id", ("000-0000-0000000-0", "000000000000000", "000 0000 0000000 0"), check.ae_emirates_id,
               ("emirates", "eid", *_ID_EN), 0.99, 0.9),
    # The country's code and a year of birth in this form are told by themselves: a wrong check is a typing error.
    NationalId("ae-emirates-id", ("000-0000-0000000-0",), check.ae_emirates_form,
               ("emirates", "eid", *_ID_EN), 0.9, 0.7),
    NationalId("in-aadhaar", ("0000 0000 0000", "0000-0000-0000", "000000000000"),
               lambda d: d[0] not in "01" and verhoeff(d), ("aadhaar", "aadhar", "uidai", "uid"), 0.98, 0.3),
    NationalId("in-pan", ("AAAAA0000A",), check.in_pan, ("pan", "permanent", "income"), 0.96, 0.65),
    NationalId("cn-resident-id", ("000000000000000000", "00000000000000000A"), check.cn_resident, _ID_EN, 0.99, 0.9),
    NationalId("kr-rrn", ("000000-0000000",), check.kr_rrn_checked, ("rrn", *_ID_EN), 0.98, 0.85),
    NationalId("kr-rrn", ("000000-0000000",), check.kr_rrn, ("rrn", *_ID_EN), 0.95, 0.55),
    NationalId("jp-my-number", ("0000 0000 0000", "000000000000", "0000-0000-0000"), check.jp_my_number,
               ("my", "individual", "mynumber"), 0.9, 0.1),
    NationalId("tw-id", ("A000000000",), check.tw_id, _ID_EN, 0.95, 0.6),
    NationalId("sg-nric", ("A0000000A",), check.sg_nric, ("nric", "fin", "singapore", *_ID_EN), 0.98, 0.7),
    NationalId("th-id", ("0-0000-00000-00-0", "0000000000000"), check.th_id, ("thai", *_ID_EN), 0.96, 0.25),
    NationalId("za-id", ("0000000000000", "000000 0000 000"), check.za_id, ("sa", "rsa", *_ID_EN), 0.97, 0.6),
    NationalId("br-cpf", ("000.000.000-00",), check.br_cpf, ("cpf",), 0.99, 0.93),
    NationalId("br-cpf", ("00000000000",), check.br_cpf, ("cpf",), 0.97, 0.3),
    NationalId("br-cnpj", ("00.000.000/0000-00",), check.br_cnpj, ("cnpj",), 0.95, 0.8),
    NationalId("ar-cuit", ("00-00000000-0", "00000000000"), check.ar_cuit, ("cuit", "cuil"), 0.97, 0.4),
    NationalId("cl-rut", ("00.000.000-0", "00.000.000-A", "0.000.000-0", "0.000.000-A", "00000000-0", "00000000-A"),
               check.cl_rut, ("rut", "run"), 0.97, 0.6),
    NationalId("mx-curp", ("AAAA000000AAAAAA00", "AAAA000000AAAAAAA0"), check.mx_curp, ("curp",), 0.99, 0.95),
    NationalId("ca-sin", ("000-000-000", "000 000 000", "000000000"), check.ca_sin, ("sin", "insurance"), 0.95, 0.3),
    NationalId("au-tfn", ("000 000 000", "000000000", "000-000-000"), check.au_tfn, ("tfn", "tax"), 0.93, 0.2),
    NationalId("au-medicare", ("0000 00000 0", "0000000000", "0000-00000-0"), check.au_medicare, ("medicare",),
               0.95, 0.3),
    NationalId("nz-ird", ("000-000-000", "000000000"), check.nz_ird, ("ird",), 0.95, 0.2),
)  # fmt: skip
