"""Guards: what is done to content on its way to a model and back."""
