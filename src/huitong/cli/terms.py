"""Options that state the terms of a request, the same for asking and for answering, and how terms are shown."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from huitong.cli.catalogue import choice, codes_alone
from huitong.cli.language import words
from huitong.errors import InputInvalid, Reason

PERIODS = ("day", "month", "grant")
MODES = ("rows", "aggregate-only", "noised")
_SIGNS = {">=": "at-least", "<=": "at-most", "!=": "not-in", "=": "in", ">": "more-than", "<": "less-than"}
_SHOWN = {"at-least": ">=", "at-most": "<=", "more-than": ">", "less-than": "<"}
_COMPARED = re.compile(r"\s*(?P<item>[^\s<>=!,]+)\s*(?P<sign>>=|<=|!=|=|>|<)\s*(?P<values>[^\s<>=].*)")
_LISTED = re.compile(r"\s*(?P<item>[^\s<>=!,]+)\s+(?P<not>not\s+)?in\s+(?P<values>\S.*)", re.IGNORECASE)
_STATED = re.compile(r"\s*(?P<item>[^\s<>=!,]+)\s+is\s+(?P<what>known|missing)\s*", re.IGNORECASE)
_VALUE = re.compile(r"\s*(?:'((?:[^']|'')*)'|([^',]*))\s*(,|$)")
_BOUNDS = re.compile(r"(?P<item>[^\s<>=!,]+)=(?P<lower>-?[0-9]{1,15}(\.[0-9]{1,8})?)\.\.(?P<upper>-?[0-9]{1,15}(\.[0-9]{1,8})?)")
_QUOTA = re.compile(r"(?P<limits>(rows|queries|calls)=[0-9]{1,13}(,(rows|queries|calls)=[0-9]{1,13})*)/(?P<period>day|month|grant)")


def terms_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator: --where, --subjects, --mode, --k, --quota, --linkage, and of noised totals --budget, --together, --rows-per-entity and
    --bounds; `rules` reads what they gave."""
    for option in (
        click.option("--linkage", metavar="GROUP"),
        click.option("--bounds", "bounds", multiple=True, metavar="ITEM=LOW..HIGH"),
        click.option("--rows-per-entity", type=click.IntRange(1)),
        click.option("--together", metavar="EPSILON"),
        click.option("--budget", metavar="EPSILON"),
        click.option("--quota", "quotas", multiple=True, metavar="ROWS=N/PERIOD"),
        click.option("--k", type=click.IntRange(2)),
        click.option("--mode", type=click.Choice(MODES)),
        click.option("--subjects", metavar="[ITEM=]FILE|-"),
        click.option("--where", "where", multiple=True, metavar="COMPARISON"),
    ):
        function = option(function)
    return function


def rules(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `terms_options` gave, as the API takes it; those that were not given are left out.

    Raises InputInvalid for all that cannot be read."""
    found: dict[str, Any] = {name: given[name] for name in ("mode", "k", "linkage") if given.get(name) is not None}
    if given.get("where"):
        found["condition"] = parse_where(given["where"])
    if given.get("quotas"):
        found["quota"] = parse_quota(given["quotas"])
    if given.get("subjects") is not None:
        found["subjects"] = read_subjects(given["subjects"])
    noised = {"epsilon": given.get("budget"), "together": given.get("together"), "rows_per_entity": given.get("rows_per_entity")}
    if given.get("bounds"):
        noised["bounds"] = parse_bounds(given["bounds"])
    if stated := {name: value for name, value in noised.items() if value is not None}:
        found["noised"] = stated
    return found


def parse_bounds(written: Sequence[str]) -> list[dict[str, str]]:
    """`income=0..100000`: between which values an item counts.

    Raises InputInvalid `cli-bounds-unreadable` for all that cannot be read, at once."""
    read = [(one, _BOUNDS.fullmatch(one.replace(" ", ""))) for one in written]
    wrong = [Reason("cli-bounds-unreadable", {"written": one}) for one, said in read if said is None]
    if wrong:
        raise InputInvalid(*wrong)
    return [{"item": said["item"], "lower": said["lower"], "upper": said["upper"]} for _, said in read if said is not None]


def parse_where(written: Sequence[str]) -> list[dict[str, Any]]:
    """`members>=3`, `gender=2`, `village in A,B`, `village not in A`, `died is missing`: one comparison each. A value may stand in
    single quotes, which it needs where it holds a comma.

    Raises InputInvalid `cli-where-unreadable` for all that cannot be read, at once."""
    found, wrong = [], []
    for one in written:
        comparison = _comparison(one)
        if comparison is None:
            wrong.append(Reason("cli-where-unreadable", {"written": one}))
        else:
            found.append(comparison)
    if wrong:
        raise InputInvalid(*wrong)
    return found


def _comparison(written: str) -> dict[str, Any] | None:
    if said := _STATED.fullmatch(written):
        return {"item": said["item"], "comparator": said["what"].lower(), "values": []}
    if said := _LISTED.fullmatch(written):
        values = _values(said["values"])
        return {"item": said["item"], "comparator": "not-in" if said["not"] else "in", "values": values} if values else None
    if said := _COMPARED.fullmatch(written):
        values = _values(said["values"])
        return {"item": said["item"], "comparator": _SIGNS[said["sign"]], "values": values} if values and len(values) == 1 else None
    return None


def _values(written: str) -> list[str] | None:
    """`a,b,'c, d'`; None if a quote is left open or a value is missing."""
    values, at = [], 0
    while part := _VALUE.match(written, at):
        values.append(part[1].replace("''", "'") if part[1] is not None else part[2].strip())
        at = part.end()
        if not part[3]:
            return values if at == len(written) and all(values) else None
    return None


def parse_quota(written: Sequence[str]) -> dict[str, Any]:
    """`rows=1000/day`, `queries=20,rows=500/month`; several must be of one period.

    Raises InputInvalid `cli-quota-unreadable`, `cli-quota-periods`."""
    found: dict[str, Any] = {}
    for one in written:
        said = _QUOTA.fullmatch(one.replace(" ", "").lower())
        if said is None:
            raise InputInvalid.because("cli-quota-unreadable", written=one)
        if found.setdefault("period", said["period"]) != said["period"]:
            raise InputInvalid.because("cli-quota-periods", first=found["period"], second=said["period"])
        for limit in said["limits"].split(","):
            what, _, number = limit.partition("=")
            found[what] = int(number)
    return found


def read_subjects(written: str) -> dict[str, Any]:
    """The identifiers of `FILE`, `-` or `ITEM=FILE`, one a line; blank lines do not count.

    Raises InputInvalid `cli-subjects-unreadable`."""
    item, stated, place = written.rpartition("=")
    try:
        with click.open_file(place, encoding="utf-8-sig") as file:
            identifiers = [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise InputInvalid.because("cli-subjects-unreadable") from None
    return {"identifiers": identifiers, **({"item": item} if stated else {})}


def shown_rules(terms: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Pairs of label and text of the terms that say something, for the table of a request or a grant."""
    found: list[tuple[str, Any]] = []
    if terms.get("condition"):
        found.append(("condition", "\n".join(comparison_text(one) for one in terms["condition"])))
    if subjects := terms.get("subjects"):
        found.append(("subjects", words("subjects-count", count=subjects["count"], item=subjects["item"])))
    if terms.get("k") is not None:
        found.append(("mode", words("mode-with-k", mode=choice(terms["mode"]), k=terms["k"])))
    if noised := terms.get("noised"):
        budgets = {name: noised[name] for name in ("epsilon", "together", "rows_per_entity")}
        found.append(("mode", words("mode-with-budget", mode=choice(terms["mode"]), **budgets)))
        if noised["bounds"]:
            found.append(("bounds", "\n".join(f"{one['item']}={one['lower']}..{one['upper']}" for one in noised["bounds"])))
    if quota := terms.get("quota"):
        limits = ",".join(f"{what}={quota[what]}" for what in ("rows", "queries", "calls") if quota.get(what) is not None)
        found.append(("quota", _quota_text(f"{limits}/{quota['period']}", quota)))
    if terms.get("linkage", "purpose") != "purpose":
        found.append(("linkage", choice("linkage-alone") if terms["linkage"] == "alone" else terms["linkage"]))
    return found


def _quota_text(written: str, quota: Mapping[str, Any]) -> str:
    """A quota as `--quota` takes it; before it the same in Chinese for who reads that."""
    if codes_alone():
        return written
    from huitong.model.policy import Quota, QuotaPeriod
    from huitong.sharing.term_words import quota_words

    limits = {what: quota.get(what) for what in ("rows", "queries", "calls")}
    return f"{quota_words(Quota(period=QuotaPeriod(quota['period']), **limits), words.language)}（{written}）"


def shown_use(use: Mapping[str, Any] | None, instant_text: Callable[[str | None], str]) -> list[tuple[str, Any]]:
    """The pair of label and text of how much of a quota is used, if there is one."""
    if not use:
        return []
    anew = instant_text(use["begins_anew"]) if use["begins_anew"] else words("quota-never-anew")
    lines = [
        words("quota-used", what=choice(f"quota-{one['what']}"), used=one["used"], limit=one["limit"], begins_anew=anew)
        for one in use["uses"]
    ]
    return [("use", "\n".join(lines))]


def shown_budget(use: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """The pair of label and text of how much of a budget is spent, if there is one."""
    return [("budget", words("budget-use", **use))] if use else []


def comparison_text(one: Mapping[str, Any]) -> str:
    """A comparison as `--where` takes it."""
    comparator, values = one["comparator"], [_quoted(value) for value in one["values"]]
    if comparator in _SHOWN:
        return f"{one['item']}{_SHOWN[comparator]}{values[0]}"
    if comparator in ("in", "not-in"):
        return f"{one['item']} {comparator.replace('-', ' ')} {','.join(values)}"
    return f"{one['item']} is {comparator}"


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[^',\s][^',]*", value) and value == value.strip() else "'" + value.replace("'", "''") + "'"
