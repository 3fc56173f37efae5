"""Which permitted deployment serves a call: Filter, Score, Pick."""
