"""Answers that are kept: for the very same question, in memory and on the disk of one machine."""
