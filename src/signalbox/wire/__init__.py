"""Protocols to and from core types: one file per dialect, hub and spoke, plus SSE framing."""
