"""Patients' names, dates and record numbers in Chinese, Japanese, Korean, Russian, Arabic, Turkish and Hindi.

Only for text that is clinical already: elsewhere most of these patterns say too little. A name is told by a word that
announces somebody (CUED, sure), or by being made as names are (its surname, given name, patronymic or title).
"""

from __future__ import annotations

import re

from msgspec import Struct

CUED, MADE = 0.8, 0.7
# What follows a name of which an age is told: `, 58 лет`. So does somebody stand in records and in no other text.
AGED = re.compile(
    r"[，,、（(\s:：]{1,2}(?:[男女남여][，,、)）\s]{1,2})?(?:만 ?|возраст )?\d{1,3} ?(?:岁|歲|歳|才|세|살|лет|год|عام|سنة|سنوات|yaş|वर्ष|साल)"
)


class Names(Struct, frozen=True):
    """cued, made: patterns whose first group is a name. records: whose first group is a number. dates: days of a year
    that need no group. never: beginnings of what such patterns take for a name and is none."""

    cued: re.Pattern[str]
    made: re.Pattern[str]
    records: re.Pattern[str]
    dates: re.Pattern[str]
    never: tuple[str, ...] = ()


def _any(words: str) -> str:
    return "(?:" + "|".join(sorted(words.split(), key=len, reverse=True)) + ")"


_NUMBER = r"[A-Za-z]{0,3}-?\d[\dA-Za-z-]{3,}"
_HAN = "\u4e00-\u9fff々"
_CJK_DATE = r"(?:\d{4}|(?:令和|平成|昭和)\d{1,2}) ?[年년] ?\d{1,2} ?[月월] ?\d{1,2} ?[日일]"

# The commonest surnames, and the signs that given names are made of.
_SURNAME_ZH = (
    "[王李张張刘劉陈陳杨楊黄黃赵趙吴吳周徐孙孫马馬朱胡郭何林高梁郑鄭罗羅宋谢謝唐韩韓曹许許邓鄧萧蕭冯馮曾程蔡彭潘袁于董余苏蘇叶葉吕呂魏蒋蔣田杜丁"
    "沈姜范傅钟鍾卢盧汪戴崔任陆陸廖姚方金邱夏谭譚韦賈贾邹鄒石熊孟秦阎閻薛侯雷白龙龍段郝孔邵史毛常万顾顧赖賴武康贺賀严嚴尹钱錢施牛洪龚]"
)
_GIVEN_ZH = (
    "[伟偉芳娜秀英敏静靜丽麗强強磊军軍洋勇艳艷杰傑娟涛濤明超兰蘭霞平刚剛桂建国國华華志玉红紅梅萍玲珍凤鳳云雲海燕波辉輝鹏鵬飞飛宇浩轩軒子涵雨梓欣怡佳颖穎晨"
    "思嘉琪婷雪倩丹琳慧莉凯凱健俊峰斌然博瑞泽澤一诺晓曉东東小庆慶淑芬素卫衛永民新光亮龙宁寧福生德荣榮祥贵貴义仁信礼智松柏森鑫若诗詩梦夢语可乐乐悦"
    "彤薇蕾菲媛妍璐琴翠莲蓮香月春秋冬夏阳陽旭昊天翔航远遠成立正文武清洁潔美珊珠瑜瑾瑶]"
)
_WHO_ZH = (
    "(?:患者|病人|病患|患儿|患兒|产妇|孕妇|老人|孩子|姓名[:：]?|名叫|我叫|被保险人|投保人|受益人|"
    "(?:妈妈|母亲|爸爸|父亲|儿子|女儿|丈夫|妻子|爷爷|奶奶|外公|外婆|老公|老婆|哥哥|姐姐|弟弟|妹妹|媽媽|兒子|女兒))"
)
CHINESE = Names(
    cued=re.compile(
        rf"{_WHO_ZH}[ 是为叫:：]{{0,2}}({_SURNAME_ZH}(?:{_GIVEN_ZH}{{1,2}}|[{_HAN}]{{1,2}}(?=[\s，,、。（(；;：:]|[男女])))"
    ),
    made=re.compile(
        rf"(?:(?<![{_HAN}])|(?<=[给請请为把帮向对和与跟是叫让的位]))"
        rf"({_SURNAME_ZH}(?:[{_HAN}]{{0,2}}(?:先生|女士|小姐|太太)|{_GIVEN_ZH}{{1,2}}(?![{_HAN}]{{0,2}}(?:医院|公司|大学|路|市))))"
    ),
    records=re.compile(
        rf"(?:病历|病案|住院|门诊|就诊|登记|检查|医保卡?|社保卡?|病歷|住院卡)(?:卡)?号?码?[ :：是为]{{0,2}}({_NUMBER})"
    ),
    dates=re.compile(_CJK_DATE),
    never=(
        "高血",
        "高热",
        "高烧",
        "高危",
        "高龄",
        "白细",
        "白血",
        "黄疸",
        "常见",
        "任何",
        "何时",
        "石膏",
        "方法",
        "于是",
    ),
)

_SURNAME_JA = _any(
    "佐藤 鈴木 高橋 田中 伊藤 渡辺 渡邊 山本 中村 小林 加藤 吉田 山田 佐々木 山口 松本 井上 木村 斎藤 清水 山崎 池田 橋本 阿部 石川 山下 中島 石井 "
    "小川 前田 岡田 長谷川 藤田 後藤 近藤 村上 遠藤 青木 坂本 斉藤 福田 太田 西村 藤井 金子 岡本 藤原 三浦 中野 原田 中川 松田 竹内 小野 田村 中山 和田 "
    "石田 森田 上田 内田 柴田 酒井 宮崎 横山 高木 安藤 宮本 大野 小島 谷口 工藤 今井 高田 増田 丸山 杉山 村田 大塚 新井 小山 平野 河野 野口 武田 松井 千葉 "
    "菅原 岩崎 久保 木下 佐野 野村 松尾 菊地 市川 古川 水野 小松 島田 山内 西田 北村 五十嵐 安田 川口 東 辻 林 森 原 関 岡 堀"
)
_CALLED_JA = "(?:さん|様|氏|殿|くん|ちゃん)"
JAPANESE = Names(
    cued=re.compile(
        rf"(?:患者(?:氏名|名|の|:|：)?|氏名|名前|被保険者(?:名)?)[ \u3000:：]{{0,2}}({_SURNAME_JA}[ \u3000]?[{_HAN}]{{1,3}}|"
        rf"[{_HAN}]{{2,4}}(?={_CALLED_JA}))|"
        rf"(?:母|父|妻|夫|息子|娘|祖母|祖父|兄|姉|弟|妹)の({_SURNAME_JA}[ \u3000]?[{_HAN}]{{1,3}})"
    ),
    made=re.compile(
        rf"(?<![{_HAN}])({_SURNAME_JA}[ \u3000]?[{_HAN}]{{0,3}}{_CALLED_JA}|"
        rf"{_SURNAME_JA}[ \u3000]?(?![県市区町村駅])[{_HAN}]{{1,3}}(?=[（(、,，\u3000 ]{{1,2}}(?:患者|\d{{1,3}} ?歳|男|女))|"
        rf"[{_HAN}]{{2,4}}さん)"
    ),
    records=re.compile(
        rf"(?:カルテ|診察券|患者|被?保険(?:証|者)|受付|病歴)(?:番号|ID|No\.?|№)[ :：はが]{{0,2}}({_NUMBER})"
    ),
    dates=re.compile(_CJK_DATE),
    never=(
        "患者", "看護", "医者", "医師", "奥さ", "旦那", "皆さ", "娘さ", "息子", "母", "父", "子供", "お客", "業者", "妊婦", "先生", "主人", "家族",
        "店員", "職員", "担当", "受付", "隣", "赤", "高齢", "皆様",
    ),
)  # fmt: skip

_SURNAME_KO = "[김이박최정강조윤장임한오서신권황안송류유전홍고문양손배백허남심노하곽성차주우구민진지엄채원천방공현함변염여추도소석선설마길연위표명기반라왕금옥육인맹제모탁국]"
_CALLED_KO = "(?:씨|님|환자|군|양)"
KOREAN = Names(
    cued=re.compile(
        rf"(?:환자(?:명|분)?|성명|이름|피보험자|어머니|아버지|엄마|아빠|아들|딸|남편|아내|할머니|할아버지|동생|누나|언니)(?:은|는|이|가)?[:： ]{{1,3}}"
        rf"({_SURNAME_KO}[가-힣]{{2}})(?=이?(?:[ ,(，]|씨|님|는|은|가|의|$))"
    ),
    made=re.compile(
        rf"(?<![가-힣])({_SURNAME_KO}[가-힣]{{2}})(?= ?{_CALLED_KO}(?![가-힣]{{3}})|[, (]{{1,2}}(?:만 ?)?(?:\d{{1,3}}세|환자번호|남|여))"
    ),
    records=re.compile(rf"(?:등록|차트|환자|병록|진료|보험증?|접수)(?:번호|ID)[:： ]{{0,2}}({_NUMBER})"),
    dates=re.compile(_CJK_DATE),
    never=(
        "이용자", "주치의", "고객사", "여러분", "임산부", "한의사", "방문자", "진료의", "전문의", "조무사", "유가족", "노약자", "소비자", "고혈압", "우울증",
        "심근경", "심장병", "인슐린", "유방암", "위내시", "천식", "신장", "장염", "방사선", "소아", "정신과", "고령", "임신", "이 환자", "모든",
    ),
)  # fmt: skip

_CAP_RU, _OTHER_RU = "[А-ЯЁ][а-яё]+", r"[А-ЯЁ]\."
_GIVEN_RU = _any(
    "Анн Мари Ольг Елен Наталь Ирин Татьян Светлан Екатерин Юли Анастаси Дарь Людмил Галин Валентин Нин Вер Надежд "
    "Софь Полин Ксени Алин Виктори Иван Петр Пётр Алекс Александр Дмитри Серге Андре Михаил Никола Владимир Юри Евгени "
    "Константин Олег Игор Павел Павл Максим Артём Артем Роман Денис Антон Григори Васили Фёдор Федор Егор Кирилл Иль "
    "Степан Тимофе Ван Саш Маш Даш Кат Лид Раис Зинаид Виктор Вячеслав Станислав Борис Лев Никит Матве"
)
_SURNAME_RU = r"[А-ЯЁ][а-яё]+(?:[оеё]в|[иы]н|ск|цк|енк|ук|юк|ян|дзе|швил|ых|их)[а-яё]{0,4}"
RUSSIAN = Names(
    cued=re.compile(
        rf"(?i:\b(?:пациент\w{{0,3}}|больн(?:ой|ая|ого|ому|ую|ым)|г-н\w?|г-ж\w|господин\w?|госпож\w|фио|ф\.и\.о\.|мам\w|пап\w|"
        rf"сын\w{{0,2}}|доч\w{{1,4}}|муж\w?|жен\w|бабушк\w|дедушк\w|отец|отц\w|мать|матер\w|брат\w?|сестр\w|реб[её]н\w{{2,3}}|"
        rf"застрахованн\w{{2,3}}))[ :,]{{1,3}}({_CAP_RU}(?: (?:{_CAP_RU}|{_OTHER_RU} ?{_OTHER_RU}|{_OTHER_RU})){{0,2}})"
    ),
    made=re.compile(
        rf"\b({_CAP_RU} (?:{_CAP_RU} )?[А-ЯЁ][а-яё]+(?:ович|евич|[оеи]вн|ичн|ьич)[а-яё]{{0,3}}\b|"
        rf"[А-ЯЁ][а-яё]{{2,}} {_OTHER_RU} ?{_OTHER_RU}|{_GIVEN_RU}[а-яё]{{0,3}} {_SURNAME_RU}\b|"
        rf"{_SURNAME_RU} {_GIVEN_RU}[а-яё]{{0,3}}\b|[А-ЯЁ][а-яё]+(?:ович|евич|овн|евн)[а-яё]{{1,3}}\b)"
    ),
    records=re.compile(
        r"(?i:\b(?:номер карты|карт[аы] №|истори[яи] болезни|медкарт[аы]|медицинск(?:ая|ой) карт[аы]|полис(?:а|у)?(?: омс)?|"
        r"снилс))[ №:#nN]{0,4}(\d[\d -]{3,}\d)"
    ),
    dates=re.compile(
        r"\b\d{1,2} (?:января|февраля|марта|апреля|мая|июня|июля|августа|сентября|октября|ноября|декабря)(?: \d{4})?"
    ),
    never=("ОМС", "ФИО"),
)

# Given names, of which some are also words (`سعيد` happy, `كريم` cream): those only behind a word that announces.
_GIVEN_AR = _any(
    "محمد أحمد احمد محمود مصطفى حسين خالد عبدالله عبدالرحمن يوسف إبراهيم ابراهيم إسماعيل سعود فهد فيصل تركي ناصر طارق "
    "زياد سامي سمير وليد ياسر هشام جابر بلال حمزة طلال عثمان عمار فؤاد فاطمة عائشة خديجة مريم زينب سارة نورة ليلى سعاد "
    "سلمى سميرة آمنة حليمة رقية داليا هيفاء منال نادية نجلاء ياسمين شيماء غادة لطيفة هدى علي حسن سلوى عماد باسم لمى "
    "أيمن حازم مازن نبيل رائد سليمان داود موسى عيسى أسامة معاذ أنس إياد غسان نزار مروان عدنان قاسم كاظم جعفر عباس "
    "بدر سلطان مشعل نايف عبدالعزيز عبداللطيف رشيد بشير منير شريف فريد لينا دانة لجين جواهر موضي بسمة رانيا سوسن "
    "إلهام ابتسام سهام نهى مها ميساء وداد زهرة صفية أسيل رغد شهد جنى"
)
_WORD_AR = "[\u0621-\u064a]{2,}"
_AFTER_AR = rf"(?: (?:عبد |بن |بنت |أبو |آل )?{_WORD_AR})"
ARABIC = Names(
    cued=re.compile(
        r"(?<![\u0621-\u064a])(?:لل|و|ل)?(?:المريضة|المريض|مريضة|مريض|السيدة|السيد|سيدة|سيد|الطفلة|الطفل|والدتي|والدي|والدة|"
        r"والد|أمي|أبي|ابنتي|ابني|زوجتي|زوجي|أختي|أخي|جدتي|جدي|الاسم|اسمي|اسمها|اسمه|المؤمن عليها|المؤمن عليه)[: ]{1,2}"
        rf"((?:{_GIVEN_AR}|عبد {_WORD_AR}|(?:سعيد|سالم|كريم|جمال|كمال|عادل|صالح|رضا|منى|سناء|عبير|أمينة|إيمان|أمل|نور|هند|"
        rf"عمر|رامي|ماجد|هاني|رنا|ريم|دينا|وفاء|أسماء|نوال)){_AFTER_AR}{{0,2}}|{_WORD_AR} {_WORD_AR}(?=،|,| \(|:))"
    ),
    made=re.compile(
        r"(?<![\u0621-\u064a])(?<!مستشفى )(?<!مدينة )(?<!جامعة )(?<!شارع )(?<!مركز )(?<!الملك )(?<!الأمير )"
        rf"((?:{_GIVEN_AR}) (?:{_GIVEN_AR}|عبد ?ال{_WORD_AR}|عبد الله|بن {_WORD_AR}|ال[\u0621-\u064a]{{3,}}ي|"
        r"(?:الزهراء|كريم|سالم|صالح|رضا|سعيد|جمال|عمر|كمال|عادل|رامي)))(?![\u0621-\u064a])"
    ),
    records=re.compile(
        r"(?:رقم (?:الملف|المريض|السجل|التأمين|الهوية|البطاقة)(?: الطبي| الطبية)?|الملف الطبي(?: رقم)?)[: ]{0,3}(\d[\d-]{4,})"
    ),
    dates=re.compile(
        r"\d{1,2} (?:يناير|فبراير|مارس|أبريل|مايو|يونيو|يوليو|أغسطس|سبتمبر|أكتوبر|نوفمبر|ديسمبر)(?: \d{4})?"
    ),
)

_CAP_TR = "[A-ZÇĞÖŞÜ][a-zçğıöşü]+"
_GIVEN_TR = _any(
    "Mehmet Mustafa Ahmet Ali Hüseyin Hasan Ibrahim Murat Yusuf Emre Osman Ömer Halil Ramazan Süleyman Serkan Burak Hakan "
    "Kemal Orhan Fatma Ayşe Emine Hatice Zeynep Elif Meryem Merve Şerife Zehra Hanife Havva Esra Büşra Kübra Seda Selin "
    "Derya Yasemin Özlem Tuğba Gülşen Nurcan Sevgi Canan Cem Kerem Onur Tolga Volkan Ismail Recep Metin Yaşar"
)
_SUFFIX_TR = r"(?='(?:n?[ıiuü]n|[yd]?[aeıiuü]|[dt][ae]|[dt][ae]n)\b|,? \(?\d{1,3} yaş)"
_HOUSE_TR = (
    "(?:Bakanlığı|Üniversitesi|Hastanesi|Derneği|Kurumu|Merkezi|Belediyesi|Fakültesi|Örgütü|Odası|Kanunu|Bankası)"
)
TURKISH = Names(
    cued=re.compile(
        r"(?:\b[Hh]asta(?:mız)?|\bSayın|[Aa]dı [Ss]oyadı|Ad Soyad|\b[Aa]nnem|\b[Bb]abam|\b[Oo]ğlum|\b[Kk]ızım|\b[Ee]şim|"
        r"\b[Kk]ocam|\b[Kk]arım|\b[Dd]edem|\b[Nn]inem|\b[Kk]ardeşim|\b[Ss]igortalı|\bBay|\bBayan)[ :]{1,3}"
        rf"({_CAP_TR}(?: {_CAP_TR}){{1,2}})"
    ),
    made=re.compile(
        rf"\b({_GIVEN_TR} {_CAP_TR}|{_CAP_TR} (?:Bey|Hanım)|{_CAP_TR} (?!{_HOUSE_TR}){_CAP_TR}{_SUFFIX_TR})"
    ),
    records=re.compile(
        rf"(?i:\b(?:protokol|hasta|dosya|kimlik|sigorta)) (?i:no|numarası)[.: ]{{0,3}}({_NUMBER})",
    ),
    dates=re.compile(
        r"\b\d{1,2} (?:Ocak|Şubat|Mart|Nisan|Mayıs|Haziran|Temmuz|Ağustos|Eylül|Ekim|Kasım|Aralık)(?: \d{4})?"
    ),
    never=("Hastane",),
)

_DEVA = "\u0900-\u097f"
_SURNAME_HI = _any(
    "शर्मा वर्मा सिंह कुमार कुमारी गुप्ता पटेल यादव मिश्रा मेहता जोशी रेड्डी चौहान देवी प्रसाद ठाकुर तिवारी पांडे पाण्डेय दुबे अग्रवाल खान अंसारी चौधरी राव नायर अय्यर "
    "बनर्जी मुखर्जी चटर्जी दास घोष सेन सिन्हा श्रीवास्तव सक्सेना त्रिपाठी शुक्ला द्विवेदी राठौर शाह देसाई कपूर खन्ना मल्होत्रा अरोड़ा भाटिया बेगम कौर"
)
HINDI = Names(
    cued=re.compile(
        r"(?:मरीज़?|मरीज\u093c?|रोगी|श्रीमती|श्री|सुश्री|नाम|बीमित|माँ|माता|पिता|बेटे|बेटा|बेटी|पत्नी|पति|बच्चा|बच्ची)[ :]{1,3}"
        rf"([{_DEVA}]{{2,}} (?:{_SURNAME_HI}|लाल|जैन|बाई))(?![{_DEVA}])"
    ),
    made=re.compile(rf"(?<![{_DEVA}])([{_DEVA}]{{2,}} {_SURNAME_HI}|मोहन लाल)(?![{_DEVA}])"),
    records=re.compile(
        r"(?:(?:मरीज़?\u093c?|रोगी|(?:फ़|फ\u093c?)ाइल|पंजीकरण) (?:संख्या|नंबर|क्रमांक|आईडी)|आधार)[ :]{0,3}(\d[\d -]{3,}\d)"
    ),
    dates=re.compile(
        r"\d{1,2} (?:जनवरी|(?:फ़|फ\u093c?)रवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|सितम्बर|अक्टूबर|नवंबर|नवम्बर|दिसंबर|"
        r"दिसम्बर)(?: \d{4})?"
    ),
)
