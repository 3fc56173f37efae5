"""What texts say: markings, people, places, health, export control and code, in many languages, against plain prose."""

from __future__ import annotations

import pytest

from signalbox.core.labels import NONE
from signalbox.detectors.scan import classify, scan

MARKED = [
    ("CONFIDENTIAL\nQ3 plan", "confidential"),
    ("Classification: Restricted\nfoo", "restricted"),
    ("STRENG VERTRAULICH\nBericht zur Lage", "restricted"),
    ("Vertraulich – nur für den internen Gebrauch", "confidential"),
    ("STRICTEMENT CONFIDENTIEL\nrapport", "restricted"),
    ("Ce document est strictement confidentiel.", "confidential"),
    ("ESTRICTAMENTE CONFIDENCIAL\ninforme", "restricted"),
    ("[Riservato]\nrelazione", "confidential"),
    ("STRETTAMENTE RISERVATO\nrelazione", "restricted"),
    ("ESTRITAMENTE CONFIDENCIAL\nrelatório", "restricted"),
    ("STRIKT VERTROUWELIJK\nnotitie", "restricted"),
    ("ŚCIŚLE TAJNE\nraport", "restricted"),
    ("POUFNE\nraport", "confidential"),
    ("Luottamuksellinen\nraportti", "confidential"),
    ("STRENGT FORTROLIG\nnotat", "restricted"),
    ("HEMLIG\nrapport", "restricted"),
    ("Совершенно секретно\nотчёт", "restricted"),
    ("Конфиденциально\nотчёт", "confidential"),
    ("ΑΠΟΡΡΗΤΟ\nέκθεση", "restricted"),
    ("سري للغاية\nتقرير", "restricted"),
    ("绝密\n报告", "restricted"),
    ("【社外秘】\n資料", "confidential"),
    ("대외비\n보고서", "restricted"),
    ("GİZLİ\nrapor", "restricted"),
    ("Kişiye özel\nrapor", "confidential"),
    ("DŮVĚRNÉ\nzpráva", "confidential"),
    ("BIZALMAS\njelentés", "confidential"),
    ("TLP:RED do not share", "restricted"),
    ("TLP: AMBER", "confidential"),
    ("This e-mail and any attachments are confidential.", "confidential"),
    ("ATTORNEY-CLIENT PRIVILEGED\nprivileged communication", "legal"),
    ("SECRET//NOFORN", "government"),
    ("CUI//SP-PRVCY", "government"),
    ("VS-NfD", "government"),
    ("OFFICIAL-SENSITIVE", "government"),
    ("For Official Use Only", "government"),
    ("Do not distribute this deck outside the company.", "confidential"),
    ("Material non-public information (MNPI): merger", "confidential"),
    ("For internal use only\nslides", "internal"),
    ("Nur für den Dienstgebrauch\nHinweis", "internal"),
    ("社内限\n資料", "internal"),
    ("USO INTERNO\ncircular", "internal"),
]

UNMARKED = [
    "They had a confidential conversation about secrets.",
    "The secret to good bread is time.",
    "Das Gespräch war vertraulich.",
    "She spoke confidentially with the board.",
    "Il a gardé le secret de sa réussite.",
    "Keep this restricted to two columns.",
    "El informe es secreto a voces, dicen todos.",
    "Write a poem about a secret garden.",
    "Internal server error 500",
    "Is it legal to share a document?",
    "public static void main",
    "The restricted isometry property holds.",
    "это не секрет для людей",
    "这个秘密花园很美丽吗",
    "It is an open secret that tests matter.",
    "Top secrets of great chefs revealed",
]


@pytest.mark.parametrize(("text", "name"), MARKED)
def test_markings(text: str, name: str) -> None:
    assert name in classify(text).names()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("この資料は社外秘です。", "confidential"),
        ("以下の内容は社外秘につき転送しないでください", "confidential"),
        ("添付のファイルは極秘扱いです", "restricted"),
        ("この文書は機密情報を含みます", "restricted"),
        ("请总结：本文件属于公司机密。", "confidential"),
        ("机密文件，严禁外传", "confidential"),
        ("這份文件是機密，請勿外傳", "restricted"),
        ("이 문서는 대외비입니다", "restricted"),
    ],
)
def test_sentences_that_say_what_a_document_is(text: str, name: str) -> None:
    assert name in classify(f"{text} 2").names()


@pytest.mark.parametrize(
    "text",
    [
        "社外秘とは何ですか",
        "この資料は社外秘ですか",
        "この資料は社外秘ではありません",
        "機密性とは",
        "机密计算是什么",
        "如何保护商业秘密？",
        "这是一个秘密",
        "本文件是机密吗",
        "この本は秘密の花園です",
        "대외비란 무엇인가요",
        "이 문서는 대외비입니까",
    ],
)
def test_questions_about_markings_in_words_without_blanks(text: str) -> None:
    assert classify(f"{text} 2").names() == ("public",)


@pytest.mark.parametrize("text", UNMARKED)
def test_prose_about_secrets_is_unmarked(text: str) -> None:
    assert not any(found.detector == "markings" and found.confidence >= 0.5 for found in scan(text))


@pytest.mark.parametrize(
    "text",
    [
        "Hi, my name is Maria Gonzalez and I lost my card.",
        "Mein Name ist Jörg Müller.",
        "Je m'appelle Élodie Martin.",
        "Me llamo Pedro Sánchez.",
        "Mi chiamo Giulia Rossi.",
        "Ik heet Jan de Vries.",
        "Jag heter Lars Svensson.",
        "Nazywam się Anna Nowak.",
        "Меня зовут Иван Петров",
        "Surname: Okafor",
        "Nombre: Pedro\nApellidos: De Miguel Rivera",
        "Vorname: Anna\nNachname: Schmidt",
        "Meu nome é João Silva",
        "Με λένε Μαρία Παπαδοπούλου",
    ],
)
def test_people_who_are_introduced(text: str) -> None:
    assert "personal" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "Natalia sold clips to 48 of her friends in April.",
        "Explain what Albert Einstein found.",
        "Mr. Smith has 12 apples.",
        "a method called Foo",
        'name: "Express"',
        "In Java, class names begin with capitals.",
        "Who was Marie Curie?",
    ],
)
def test_names_alone_raise_nothing(text: str) -> None:
    assert classify(text) == NONE


@pytest.mark.parametrize(
    "text",
    [
        "Ship to 742 Evergreen Terrace",
        "He lives at 12 Main Street, Springfield, IL 62701",
        "Hauptstraße 12, 10115 Berlin",
        "Lange Str. 5",
        "12 rue de la Paix, Paris",
        "Calle Mayor, 3, Madrid",
        "Via Roma 15, Milano",
        "Keizersgracht 123, Amsterdam",
        "ul. Długa 5",
        "Storgatan 5, Stockholm",
        "Mannerheimintie 10",
        "Rua Augusta 100",
        "London SW1A 2AA",
        "Address: 5 Hill Rd, Flat 2",
        "P.O. Box 1234",
        "Karl Johans gate; Adresse: Storgata 12",
    ],
)
def test_postal_addresses(text: str) -> None:
    assert "personal" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "born on 12 March 1987",
        "DOB: 04/11/1990",
        "geboren am 3. Mai 1975",
        "née le 14 juillet 1981",
        "fecha de nacimiento: 10/10/1963",
        "nata il 2 giugno 1990",
        "geboortedatum 01-02-1980",
        "född 1980-02-01",
    ],
)
def test_dates_of_birth(text: str) -> None:
    assert "personal" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "Treatment for a 62-year-old male with diabetes, Robert K., seen at Cleveland Clinic on May 3rd, 2023?",
        "pt w/ HTN, MRN: 889123, started on lisinopril",
        "Paciente: Juan Pérez. Diagnóstico: hipertensión. NHC: 2569870.",
        "Die Patientin Anna Schmidt, geboren am 3.5.1960, Diagnose: Brustkrebs",
        "John Smith (john@x.org) was diagnosed with HIV",
        "Le patient Jean Dupont, diabète de type 2, né le 3 mai 1960",
    ],
)
def test_health_data_of_somebody(text: str) -> None:
    assert "phi" in classify(text).names()


@pytest.mark.parametrize(
    "text",
    [
        "What are the guidelines for hypertension in a 55-year-old male diagnosed in 2021?",
        "Side effects of ibuprofen?",
        "Explain how insulin works in type 1 diabetes.",
        "Compare MRI and CT for stroke.",
        "Is chest pain a symptom of anxiety?",
        "Call John Smith at +1 212 555 0142 about the invoice.",
        "The patient queue has a chronic lag since 2023-05-01.",
    ],
)
def test_health_questions_about_nobody(text: str) -> None:
    assert "phi" not in classify(text).names()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("{} seen at Stanford on 4/3/2023", "Stanford"),
        ("{} treated at Johns Hopkins", "Johns Hopkins"),
        ("{} admitted to UCSF on Feb 2, 2023", "UCSF"),
        ("{} underwent surgery at MD Anderson?", "MD Anderson"),
        ("{} seen @ Mt. Sinai", "Mt. Sinai"),
        ("{} diagnosed in Tampa on 12/07/2021", "Tampa"),
        ("{} visited our San Francisco office", "San Francisco"),
        ("{} lives in zip code 94103", "94103"),
    ],
)
def test_places_of_somebody_in_care(text: str, place: str) -> None:
    text = text.format("Treatment for hypertension in a 54yo female, Lisa T.,")
    assert place in {text[f.start : f.end] for f in scan(text) if f.kind == "place" and f.tag == "phi"}


@pytest.mark.parametrize(
    "text",
    [
        "{} seen in ICU at Week 12",
        "{} followed in March at Baseline",
        "{} admitted to ICU in Stage 3",
        "{} and John went to Boston for fun",
    ],
)
def test_capitals_in_clinical_text_that_are_no_place_of_care(text: str) -> None:
    text = text.format("Treatment for hypertension in a 54yo female, Lisa T.,")
    assert not [text[f.start : f.end] for f in scan(text) if f.kind == "place"]


@pytest.mark.parametrize(
    "text",
    [
        "| 2012 | Apartment 1303 | Lara Slate |",
        "| 1. | Joe Stone | 10 years, 11 months | IBF, WBC | 21 |",
    ],
)
def test_cells_of_tables_about_nobody(text: str) -> None:
    assert classify(text).names() == ("public",)


@pytest.mark.parametrize(
    "text",
    [
        "ITAR-controlled drawing",
        "WARNING: This document contains technical data whose export is restricted by the Arms Export Control Act",
        "USML Category XI(a)",
        "ECCN: 3A001.b.2",
        "subject to the EAR",
        "Distribution Statement D.",
        "Dieses Bauteil ist ausfuhrgenehmigungspflichtig.",
        "22 CFR 120.54",
        "This item is export controlled.",
    ],
)
def test_export_control(text: str) -> None:
    assert "export-controlled" in classify(text).names()


@pytest.mark.parametrize(
    "text", ["She has an ear infection.", "How do I export a CSV?", "Italy exports wine; guitar strings", "ECCN: EAR99"]
)
def test_exports_of_other_kinds(text: str) -> None:
    assert "export-controlled" not in classify(text).names()


CODE = {
    "python": (
        'def area(r):\n    """Area of a circle."""\n    if r < 0:\n        raise ValueError(r)\n'
        "    return 3.14 * r * r\n"
    ),
    "python-script": "import os\nimport sys\n\nfor name in os.listdir(sys.argv[1]):\n    print(name.upper())\n",
    "shell": '#!/bin/bash\nset -euo pipefail\nfor f in *.log; do\n  gzip "$f"\ndone\necho "done"\n',
    "shell-commands": "sudo apt-get update\nsudo apt-get install -y nginx\nsystemctl restart nginx\ncurl -s "
    "localhost | grep ok\n",
    "sql": "SELECT u.id, count(*)\nFROM users u\nJOIN orders o ON o.user_id = u.id\nWHERE o.total > 10\nGROUP BY "
    "u.id;\n",
    "sql-ddl": "CREATE TABLE users (\n  id bigint PRIMARY KEY,\n  email text NOT NULL\n);\nINSERT INTO users VALUES "
    "(1, 'a');\n",
    "javascript": "const a = require('a');\nfunction f(x) {\n  return x.map(y => y + 1);\n}\nmodule.exports = f;\n",
    "typescript": "export interface A {\n  id: number;\n}\nexport const f = (a: A): number => {\n  return a.id;\n};\n",
    "java": "public class A {\n  private int x;\n  public int get() {\n    return x;\n  }\n}\n",
    "c": '#include <stdio.h>\nint main(void)\n{\n    printf("hi\\n");\n    return 0;\n}\n',
    "c-crlf": '#include <stdio.h>\r\nint main(void)\r\n{\r\n    printf("hi");\r\n    return 0;\r\n}\r\n',
    "go": 'package main\n\nimport "fmt"\n\nfunc main() {\n\tx := 1\n\tfmt.Println(x)\n}\n',
    "rust": 'fn main() {\n    let mut v = Vec::new();\n    v.push(1);\n    for x in &v {\n        println!("{}", '
    "x);\n    }\n}\n",
    "csharp": "using System;\nnamespace A\n{\n    class B\n    {\n        static void Main()\n        {\n           "
    " Console.WriteLine(1);\n        }\n    }\n}\n",
    "ruby": "class A\n  def initialize(x)\n    @x = x\n  end\n\n  def to_s\n    return @x.to_s\n  end\nend\n",
    "php": "<?php\nfunction f($x) {\n  $y = $x + 1;\n  return $y;\n}\necho f(1);\n",
    "fenced": "How does this work?\n```python\nprint(sum(range(10)))\nprint(max(range(10)))\n```\n",
}

NO_CODE = [
    "Write a function that adds two numbers.\nIt should return the sum.\nHandle negative input as well.\n",
    "Dear team,\n\nplease find the minutes below.\n\n- budget was approved;\n- hiring starts in May;\n- travel is "
    "frozen.\n\nBest,\nA.\n",
    '{"name": "get_weather", "arguments": {"city": "Berlin", "unit": "c"}}',
    '{\n  "id": 1,\n  "name": "x",\n  "tags": ["a", "b"],\n  "nested": {\n    "deep": true\n  }\n}\n',
    "2026-07-01T08:00:00Z INFO api.request id=1 status=200\n2026-07-01T08:00:01Z WARN cache.miss key=report:1\n" * 5,
    "Ingredients:\n- 2 eggs\n- 1 cup of flour (sifted)\n- sugar\n\nMix, then bake at 180 degrees for 20 minutes.\n",
    "| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n",
    "Solve: x = 3 and y = 4.\nWhat is x + y?\nShow your work (step by step).\n",
    "Select the best option from the list\nwhere the price is lowest\nand explain why.\n",
    "name: demo\nversion: 2\nitems:\n  - a: 1\n  - b: 2\nowner: team\n",
]


@pytest.mark.parametrize("language", CODE)
def test_code(language: str) -> None:
    assert "source-code" in classify(CODE[language]).names()


@pytest.mark.parametrize("language", CODE)
def test_code_between_prose(language: str) -> None:
    prose = "We looked at the plan again and everyone agreed that the second option is better for now. " * 40
    assert "source-code" in classify(f"{prose}\n\n{CODE[language] * 6}\n\n{prose}").names()


@pytest.mark.parametrize("text", NO_CODE)
def test_prose_data_and_logs_are_no_code(text: str) -> None:
    assert "source-code" not in classify(text).names()


_FILMS = """| Year | Title | Role | Notes |
| 2001 | The Monkey King | Purple Orchid | TVB |
| 2003 | Garden of Love | AIDS patient | against the epidemic |
| 2010 | Calling for Love | Maria Chen | CTS |
| 2012 | Happy Marshal | Anna Long | CTS |
"""


def test_one_row_about_an_illness_makes_no_health_data_of_the_others() -> None:
    assert "phi" not in classify(_FILMS).names()
    assert "phi" in classify(_FILMS.replace("Role", "Diagnosis")).names()
    assert "phi" in classify(_FILMS.replace("AIDS patient", "AIDS patient Maria Lopez")).names()
    assert "phi" in classify("Our patients after surgery:\n" + _FILMS).names()


@pytest.mark.parametrize(
    "text",
    [
        "患者王建国，男，58岁，因胸痛入院，诊断为急性心肌梗死，请写出院小结。",
        "高先生（住院号：Z556677）脑卒中后左侧偏瘫，康复计划怎么写？",
        "母の鈴木和子は72歳で糖尿病と高血圧があり、メトホルミンを処方されました。注意点は？",
        "診察券番号 A10293 の患者、妊娠28週、妊娠糖尿病。食事指導をまとめて。",
        "환자 김철수(58세, 남)는 흉통으로 입원하여 급성 심근경색 진단을 받았습니다.",
        "간호기록: 오세훈 님, 체온 38.5도, 기침, 폐렴 의심으로 항생제 투여 시작.",
        "Больной Кузнецов А. В. 12.03.2024 перенёс аппендэктомию, после операции температура 38,5.",
        "У моего сына Егора Лебедева аллергия на пенициллин, а в поликлинике выписали амоксициллин.",
        "المريض محمد عبد الله، 58 عامًا، أُدخل المستشفى بسبب ألم في الصدر وشُخّص باحتشاء حاد في عضلة القلب.",
        "Annem Fatma Kaya 72 yaşında, şeker hastalığı ve tansiyonu var, doktor metformin yazdı.",
        "मरीज़ राजेश शर्मा, 58 वर्ष, सीने में दर्द के साथ भर्ती हुए, तीव्र हृदयाघात का निदान हुआ।",
        "मेरे बेटे आरव मेहता को पेनिसिलिन से एलर्जी है पर डॉक्टर ने एंटीबायोटिक दी है, क्या करूँ?",
    ],
)
def test_health_data_of_somebody_in_other_scripts(text: str) -> None:
    assert "phi" in classify(text).names()
    assert "phi" in classify(f"{text}\n{'Nothing else is said. ' * 30}").names()  # the engine's answer to long texts


@pytest.mark.parametrize(
    "text",
    [
        "糖尿病患者平时饮食应该注意什么？",
        "王建国是我们公司的销售经理，请帮他写一封客户邀请函。",
        "高血压的诊断标准是什么？请列出最新指南。",
        "お医者さんと看護師さんの役割の違いを子供向けに説明して。",
        "サーバーの健康診断スクリプトを高橋さんに依頼する文面を作って。",
        "의사 선생님과 간호사의 역할 차이를 아이들에게 설명해 줘.",
        "Иванов Пётр Сергеевич — наш менеджер по продажам, составь от его имени приглашение.",
        "Операция по слиянию компаний прошла успешно, сообщает Алексей Морозов.",
        "اكتب قصة عن مستشفى الملك فهد في الرياض وتاريخه.",
        "Hastane randevu sistemi için gereksinim dokümanı yaz, poliklinik ve yatan hasta modülleri olsun.",
        "कंपनी के विलय का ऑपरेशन सफल रहा, सुरेश यादव ने कहा।",
    ],
)
def test_health_questions_about_nobody_in_other_scripts(text: str) -> None:
    assert "phi" not in classify(text).names()
