"""Frozen types, the per-request call record, the error tree and the ports that everything else meets at."""
