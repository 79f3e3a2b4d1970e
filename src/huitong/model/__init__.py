"""The frozen nouns of the exchange and their self-checks. Imports nothing but `huitong.errors`; a noun does not know its verbs."""
