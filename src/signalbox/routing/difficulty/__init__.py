"""How hard a question is: features of its text in a fraction of a millisecond, linear heads over them, thresholds."""
