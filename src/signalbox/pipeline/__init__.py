"""One request, from a parsed call to its settled attempts."""
