"""The command line: each verb parses, calls and prints; nothing is decided here."""
