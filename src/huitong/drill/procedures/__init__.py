"""Attacks that are more than a statement: each a function that does one for real and looks at what came of it."""
