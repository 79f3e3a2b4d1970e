"""The life of a request and of a grant: ask, answer, use until the end or the revocation."""
