"""Whether one value is of its meaning, in Python: the plain form of the rules, by which the SQL and array forms are tested."""

import re
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache

from huitong.intake.recognisers.rules import Rule, rules
from huitong.model.codes import is_credit_code, is_luhn, is_organisation_code, is_resident_id, is_vehicle_number, resident_id_birth_date


def is_valid(meaning: str, value: str | date) -> bool | None:
    """Whether the value is one of the meaning; None if the meaning has no rule for values of that type."""
    rule = rules().get(meaning)
    if rule is None:
        return None
    if isinstance(value, date):
        return None if rule.dates is None else rule.dates[0] <= value <= rule.dates[1]
    if not rule.measured:
        return None
    shaped = _pattern(rule.valid).fullmatch(value) is not None
    return shaped and (not rule.check or _CHECKS[rule.check](value, rule))


@cache
def _pattern(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def _resident_id(value: str, rule: Rule) -> bool:
    born = resident_id_birth_date(value)
    first, last = rule.range_of_dates
    return is_resident_id(value) and born is not None and first <= born <= last


_CHECKS: Mapping[str, Callable[[str, Rule], bool]] = {
    "resident-id": _resident_id,
    "credit-code": lambda value, _: is_credit_code(value),
    "bank-card": lambda value, _: is_luhn(value),
    "organisation-code": lambda value, _: is_organisation_code(value),
    "vehicle-number": lambda value, _: is_vehicle_number(value),
}
