"""Everything that carries bytes to a model and back: connections, timeouts, addresses, and one adapter a provider."""
