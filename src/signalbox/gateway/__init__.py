"""The data plane's edge: sockets, credentials, routes, and the only place where answers are serialised."""
