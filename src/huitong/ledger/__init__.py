"""The record of uses as an append-only Merkle log (RFC 6962, C2SP): promise at once, proof within a second, audit for ever.

`verify` is the offline verifier and stands alone. `log` appends, `sequencer` folds, `receipt` proves, `audit` recomputes.
"""
