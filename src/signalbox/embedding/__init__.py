"""Text as vectors: the built-in encoders, and the parts of other people's that they need."""
