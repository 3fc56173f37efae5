"""The composition: the only room that names concrete classes and puts them together."""
