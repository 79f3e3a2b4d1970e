"""Huitong (汇通): the software of a digital province. One grant, every door, proof of each use."""

__version__ = "0.1.0"
