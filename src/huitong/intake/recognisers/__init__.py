"""What an item is taken for: Chinese identifiers by checksum and date, names and places by lists, the rest by shape and by title."""

from huitong.intake.recognisers.checks import is_valid
from huitong.intake.recognisers.recognise import SAMPLE, Recognition, recognise
from huitong.intake.recognisers.rules import Evidence, Rule, rules
from huitong.intake.recognisers.validity import validity_sql

__all__ = ["SAMPLE", "Evidence", "Recognition", "Rule", "is_valid", "recognise", "rules", "validity_sql"]
