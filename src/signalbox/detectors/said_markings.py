"""Sentences in Chinese, Japanese and Korean in which a document says that it is secret, in words without blanks.

`この資料は社外秘です` marks, `社外秘とは何ですか` asks: a term counts where its own document is said to be one, or
where it comes with an order not to pass it on.
"""

from __future__ import annotations

import re

# How much of the sentence is read on either side.
_BEFORE, _AFTER = 32, 20

# Never used but as a marking; others (`秘密`, `機密`) are topics as well.
_ONLY_MARK = frozenset(("社外秘", "部外秘", "社内限", "社内限定", "取扱注意", "대외비", "사내 기밀"))

_SAYS_BEFORE = re.compile(
    "(?:この|本|当|当該|以下の|下記の|添付の|次の)(?:社内)?(?:資料|書類|文書|文章|メール|情報|内容|ファイル|データ|レポート|報告書|"
    "契約書|議事録|コード|計画|図面|仕様書)[^。\n]{0,12}[はがも][^。\n]{0,6}$|"
    "(?:本|此|该|這份|这份|这个|这些|这封|以下|上述|所附)[^。，,；;\n]{0,6}(?:文件|资料|資料|文档|文檔|邮件|郵件|信息|資訊|内容|"
    "內容|报告|報告|数据|材料|合同|代码|图纸|方案|会议纪要|附件)[^。，,；;\n]{0,4}(?:为|為|是|属|屬|系|含|涉及|列为)"
    "[^。，,；;\n]{0,6}$|"
    "(?:이|본|해당|첨부|첨부된|다음) ?(?:문서|자료|메일|이메일|파일|정보|내용|보고서|계약서|코드)[^.\n]{0,8}"
    "(?:은|는|이|가) [^.\n]{0,6}$"
)
# What makes the same words a question, a denial or a topic.
_NOT_SAID = re.compile(
    "性|计算|計算|共有|保持|(?:情報|文書|資料)?(?:です|でしょう)か|では|じゃ|"
    "的?[吗嗎么]|입니까|인가|인지|이 아|가 아|とは|という|って"
)
_SAYS_AFTER = re.compile(
    "(?:です(?!か)|であ[るり]|でございます|なので|のため|につき|扱い|とします|とする|に指定|"
    "の?(?:資料|書類|文書|情報|データ)(?:です(?!か)|であ[るり]|につき|のため|なので|を含|を添付))|"
    " ?(?:문서|자료|정보)?(?:입니다|이므로|이니|이다|임[ .,])"
)
_FORBIDS_AFTER = re.compile(
    "(?:级|文件|资料|資料|信息|資訊|材料|文档|数据|内容|邮件)?[，,。、：:;；！! \u3000]{0,2}"
    "(?:请勿|請勿|不得|严禁|嚴禁|禁止|切勿|勿|不可|不要)(?:对外|對外|向外|擅自)?"
    "(?:外传|外傳|泄露|泄漏|洩漏|洩露|转发|轉發|外泄|外洩|传播|傳播|复制|複製|公开|公開|扩散|传阅|披露)"
)


def said(text: str, start: int, end: int) -> bool:
    """Whether the sentence around a term says that its document is what the term names."""
    after = text[end : end + _AFTER]
    if _NOT_SAID.match(after):
        return False
    if _FORBIDS_AFTER.match(after):
        return True
    if text[start:end] in _ONLY_MARK and _SAYS_AFTER.match(after):
        return True
    return _SAYS_BEFORE.search(text[max(0, start - _BEFORE) : start]) is not None
