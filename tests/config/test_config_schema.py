"""The schema as others see it. The golden file pins it: a setting cannot change unnoticed.

After a wanted change: `python tests/config/test_config_schema.py` rewrites golden/schema.json; review the difference.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from signalbox.config.reference import json_schema, reference_markdown

GOLDEN = Path(__file__).parent / "golden" / "schema.json"


def schema_text() -> str:
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def test_the_schema_is_the_golden_one() -> None:
    assert schema_text() == GOLDEN.read_text()


def test_every_setting_has_a_sentence_and_no_mapping_takes_unknown_keys() -> None:
    for name, entry in json_schema()["$defs"].items():
        assert entry["additionalProperties"] is False, name
        assert entry["description"].rstrip().endswith("."), name
        for key, setting in entry["properties"].items():
            assert setting["description"].endswith("."), f"{name}.{key}"


def test_numbers_are_bounded_and_units_stand_in_names() -> None:
    """A number without a unit in its name has to be one of these, which need none."""
    unitless = {"concurrency", "gpus_per_replica", "max_attempts", "quality_min", "headers_max", "failures"}
    unitless |= {"waiting_max", "kv_cache_max", "in_flight_max", "clears_at", "calls_max"}
    unitless |= {"confidence", "quality", "threshold", "price_ratio_min"}
    unitless |= {"same_call_max", "same_tool_call_max", "score_min", "sample", "questions_max", "weight", "share"}
    units = re.compile(
        r"_(s|ms|bytes_max|mtok|usd|tokens|days|share)$|_(s|days|share)_(min|max)$|(^|_)bytes_max$|^max_tokens$|_per_s$"
        r"|_usd_per_day$|_chars_max$"
        r"|^(usd|tokens|requests|gpu_seconds)_(per_(minute|hour|day|week|month)|total)$"
    )
    for name, entry in json_schema()["$defs"].items():
        for key, setting in entry["properties"].items():
            kinds = [setting, *setting.get("anyOf", [])]
            for kind in kinds:
                if kind.get("type") in ("integer", "number"):
                    assert key in unitless or units.search(key), f"{name}.{key}"
                    assert "minimum" in kind or "exclusiveMinimum" in kind, f"{name}.{key}"


def test_the_reference_lists_every_setting() -> None:
    text = reference_markdown()
    for entry in json_schema()["$defs"].values():
        for key in entry["properties"]:
            assert f"| `{key}` |" in text
    assert "| `body_bytes_max` | whole number, from 1024 to 1073741824 | `33554432` |" in text
    assert "| `environment` | text | required |" in text


if __name__ == "__main__":
    GOLDEN.write_text(schema_text())
