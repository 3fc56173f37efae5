"""Services that scan texts: Presidio's analyzer and the API of LLM Guard; base URLs end before the path."""

from __future__ import annotations

from signalbox.upstream.adapter import Adapter

# As its analyzer's REST server and its published description (1.x to 2.x) have it.
PRESIDIO = Adapter("presidio", paths={"scan": b"/analyze"})
# As llm_guard_api 0.0.10 describes itself; /analyze/prompt does the same and sends the text back as well.
LLM_GUARD = Adapter("llm-guard", paths={"scan": b"/scan/prompt"})
