"""The economics of placement: what a model needs, what hardware gives, what it costs, and what to do about it."""
