"""Signalbox puts every LLM call where it belongs: by law first, then quality, then cost, and proves it."""

__version__ = "0.1.0"
