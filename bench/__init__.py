"""Reproducible benchmarks: each a ratio or rate against a baseline of the same run; `python -m bench` runs all."""
