"""The control plane's edge: its JSON API and metrics page, on a port of its own."""
