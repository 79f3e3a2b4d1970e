"""One governed query from a statement and a purpose to an answer with a receipt. `answer.py` alone knows the order of steps."""

from huitong.gateway.answer import DatasetUse, Explanation, Gateway, ItemUse

__all__ = ["DatasetUse", "Explanation", "Gateway", "ItemUse"]
