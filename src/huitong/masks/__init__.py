"""How items leave: every mask twice, as SQL and in Python, tested equal on the engine; and pseudonyms.

`check_mask` says whether a mask fits an item, `sql_mask` gives the expression of the governed subquery, `python_mask` the same
in Python, `masked_type` what the reader then sees, `engine_type` how an item lies in a snapshot's files."""

from huitong.masks.kinds import DIVISION_CODE_SHAPE, check_mask, masked_type, needs_token, python_mask, sql_mask
from huitong.masks.types import engine_type, sql_type

__all__ = ["DIVISION_CODE_SHAPE", "check_mask", "engine_type", "masked_type", "needs_token", "python_mask", "sql_mask", "sql_type"]
