"""Decisions about a table whose maker is not here to ask: its delimiter, its header, the type of each column. Each with its reason.

Nothing here opens a file. A type is decided by facts over all rows (`facts_sql`, counted by DuckDB over a file or a batch), never by a
sample, and in doubt it is text: a code that was read as a number is lost.
"""

import csv
import io
import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from huitong.engines.duckdb import quote_name
from huitong.errors import InputInvalid, Reason
from huitong.intake.source import Overrides, names_of, normal, tidy
from huitong.intake.values import reader_of_text
from huitong.model.catalog import Dataset, ItemType

# --- types ----------------------------------------------------------------------------------------------------------------

Facts = Mapping[str, int]
"""Counts over the values of a column, by the names of `FACTS`; `shortest` and `longest` are lengths of those that are all digits."""

_GROUPED = (
    "[-+(（]?[¥￥$€£]? ?-?([0-9]{1,3}([,，.'' \u00a0\u202f][0-9]{3})+|[0-9]+)([.,][0-9]+)?[ \u00a0]?[%％]?[)）]?"
    "|[-+]?[0-9０-９]+([.．][0-9０-９]+)?"
)
"""Numbers as people write them: between thousands a separator, a currency or percent sign, brackets for less than nothing, wide digits."""
_UNSEEN = (
    "^[\\s\u00a0\u3000\ufeff\u200b-\u200f\u2060'']|[\\s\u00a0\u3000\ufeff\u200b-\u200f\u2060]$"
)
"""What nobody sees at the ends of a value: blanks of all kinds, and the apostrophe by which spreadsheets mark text."""


def _matches(text: str, shape: str) -> str:
    return f"count(*) FILTER (regexp_full_match({text}, '{shape}'))"


def _fact(name: str, column: str) -> str:
    source = quote_name(column)
    text = f"trim({source})"
    if name.startswith("unfit-"):
        return f"count(*) FILTER ({reader_of_text(column, ItemType(name.removeprefix('unfit-'))).unfit})"
    return {
        "rows": "count(*)",
        "there": f"count(*) FILTER ({text} <> '')",
        "digits": _matches(text, "[0-9]+"),
        "shortest": f"min(length({text})) FILTER (regexp_full_match({text}, '[0-9]+'))",
        "longest": f"max(length({text})) FILTER (regexp_full_match({text}, '[0-9]+'))",
        "zeros": _matches(text, "[+-]?0[0-9]+([.][0-9]*)?"),
        "cut": _matches(text, "[0-9]([.][0-9]+)?[eE][+]?[1-9][0-9]"),
        "truths": f"count(*) FILTER (lower({text}) IN ('true', 'false', 'yes', 'no', '是', '否'))",
        "local-moments": _matches(text, "[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}[T ][0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"),
        "exponents": _matches(text, "[+-]?[0-9]+[eE][0-9]+"),
        "grouped": f"count(*) FILTER (regexp_full_match({text}, '{_GROUPED}') AND NOT regexp_full_match({text}, '-?[0-9]+([.][0-9]+)?'))",
        "other-days": _matches(text, "[0-9]{1,2}[-/.][0-9]{1,2}[-/.]([0-9]{4}|[0-9]{2})|[0-9]{4}[.][0-9]{1,2}[.][0-9]{1,2}"),
        "clock-times": _matches(text, "[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"),
        "unseen": f"count(*) FILTER ({text} <> '' AND regexp_matches({source}, '{_UNSEEN}'))",
    }[name]


FACTS = (
    "rows", "there", "digits", "shortest", "longest", "zeros", "cut", "unfit-integer", "unfit-decimal", "unfit-date", "unfit-instant",
    "exponents", "truths", "local-moments", "grouped", "other-days", "clock-times", "unseen",
)  # fmt: skip
_EXPLAINING = ("local-moments", "grouped", "other-days", "clock-times")
"""Facts that change no type, only the reason for it."""
_LENGTHS = {"shortest": min, "longest": max}


def facts_sql(column: str, wanted: Collection[str] = FACTS) -> Mapping[str, str]:
    """Aggregates over a text column, by fact. What is unfit for a type is so by the very rules that a load reads values by."""
    return {name: _fact(name, column) for name in FACTS if name in wanted}


def together(one: Facts, other: Facts) -> Facts:
    """The facts of two parts of a column. What was no longer asked of the second counts as unfit in all its values."""
    both: dict[str, int] = dict(one)
    for name, count in other.items():
        if name in _LENGTHS and name in both:
            both[name] = _LENGTHS[name](both[name], count)
        else:
            both[name] = both.get(name, 0) + count
    for name in both:
        if name.startswith("unfit-") and name not in other:
            both[name] += other.get("there", 0)
    return both


def still_open(facts: Facts | None) -> Collection[str]:
    """The facts that further rows can change the decision by: a type that did not fit some values need not be tried on others.

    None, or only missing values so far: all of them."""
    if not facts or not facts["there"]:
        return FACTS
    wanted = {"rows", "there", "cut"}
    if facts["digits"] == facts["there"]:
        wanted |= {"digits", "shortest", "longest"}
    if not facts["unfit-decimal"] or not facts["unfit-integer"]:
        wanted |= {"zeros", "exponents"}
    wanted |= {name for name in FACTS if name.startswith("unfit-") and facts[name] * 2 < facts["there"]}
    wanted |= {name for name in (*_EXPLAINING, "unseen") if facts[name]}
    if facts["truths"] == facts["there"]:
        wanted.add("truths")
    return wanted


_CODE_WORDS = re.compile(r"编号|代码|编码|号码|证号|身份证|电话|手机|邮编|区划码|学号|工号|账号|帐号|卡号|门牌|车牌|传真|座机|联系方式")
_CODE_TOKENS = frozenset(
    ["id", "ids", "code", "codes", "phone", "tel", "telephone", "mobile", "fax", "zip", "zipcode", "postcode", "postal", "account",
     "uuid", "guid", "vin", "plate", "isbn", "issn", "uscc", "ssn"]
)  # fmt: skip
_CODE_LAST_TOKENS = frozenset(["no", "nr", "number"])
_NO_CODE = re.compile(r"序号|行号|条数|个数|数量")
_DAY_WORDS = re.compile(r"日期|时间|年月日|出生|生日|(^|[^a-z])date([^a-z]|$)|birthday|day$|日$")


def names_a_code(name: str) -> bool:
    """Whether a column's name says that it holds codes, identifiers or phone numbers."""
    if _CODE_WORDS.search(name):
        return not _NO_CODE.search(name)
    if name.endswith("号"):
        return not _NO_CODE.search(name)
    tokens = [one.casefold() for one in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", unicodedata.normalize("NFKC", name))]
    return bool(tokens) and (not _CODE_TOKENS.isdisjoint(tokens) or tokens[-1] in _CODE_LAST_TOKENS)


def candidate_types(name: str, facts: Facts) -> tuple[ItemType, ...]:
    """Every type that all values fit, most specific first; text always."""
    kinds = (ItemType.BOOLEAN, ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE, ItemType.INSTANT)
    there = facts["there"]


    def fits(kind: ItemType) -> bool:
        return facts.get("truths") == there if kind is ItemType.BOOLEAN else not facts.get(f"unfit-{kind.value}", 1)

    sure = there > 0 and decide_type(name, facts)[0] is not ItemType.TEXT
    return (*(kind for kind in kinds if sure and fits(kind)), ItemType.TEXT)


def decide_type(name: str, facts: Facts) -> tuple[ItemType, Reason]:
    """The type of a column and why, from facts over every value of it."""
    there = facts["there"]
    text = ItemType.TEXT
    if not there:
        return text, Reason("reading-type-empty")
    if facts.get("cut"):
        return text, Reason("reading-type-cut", {"values": facts["cut"]})
    fits = {kind: not facts.get(f"unfit-{kind.value}", 1) for kind in ItemType}
    number = fits[ItemType.INTEGER] or fits[ItemType.DECIMAL]
    if facts.get("digits") == there:
        one_length = facts["shortest"] == facts["longest"]
        if facts["longest"] > 15:
            return text, Reason("reading-type-long-digits", {"digits": facts["longest"]})
        if one_length and facts["longest"] == 8 and fits[ItemType.DATE] and _DAY_WORDS.search(name.casefold()):
            return ItemType.DATE, Reason("reading-type-dates")
        if facts.get("zeros"):
            return text, Reason("reading-type-leading-zeros", {"values": facts["zeros"]})
        if one_length and facts["longest"] >= 6:
            return text, Reason("reading-type-one-length", {"digits": facts["longest"]})
    if number and facts.get("zeros"):
        return text, Reason("reading-type-leading-zeros", {"values": facts["zeros"]})
    if number and facts.get("exponents"):
        return text, Reason("reading-type-exponents", {"values": facts["exponents"]})
    if number and names_a_code(name):
        return text, Reason("reading-type-code-name")
    if fits[ItemType.INTEGER]:
        return ItemType.INTEGER, Reason("reading-type-whole-numbers")
    if fits[ItemType.DECIMAL]:
        return ItemType.DECIMAL, Reason("reading-type-decimals")
    if fits[ItemType.DATE]:
        return ItemType.DATE, Reason("reading-type-dates")
    if fits[ItemType.INSTANT]:
        return ItemType.INSTANT, Reason("reading-type-instants")
    if facts.get("truths") == there:
        return ItemType.BOOLEAN, Reason("reading-type-truths")
    for fact, code in (
        ("local-moments", "reading-type-local-moments"),
        ("grouped", "reading-type-grouped"),
        ("other-days", "reading-type-other-days"),
        ("clock-times", "reading-type-clock-times"),
    ):
        if facts.get(fact):
            return text, Reason(code, {"values": facts[fact]})
    for kind in (ItemType.DECIMAL, ItemType.DATE):
        unfit = facts.get(f"unfit-{kind.value}", there)
        if unfit * 2 < there:
            return text, Reason("reading-type-mixed", {"unfit": unfit, "values": there, "type": kind.value})
    if facts.get("unseen"):
        return text, Reason("reading-type-unseen", {"values": facts["unseen"]})
    return text, Reason("reading-type-words")


# --- delimiter ------------------------------------------------------------------------------------------------------------

USUAL = (",", "\t", ";", "|", "\x01", "\x1f", "，", "；")
"""Delimiters that need no better evidence than another of them."""
UNUSUAL = (":", "^", "~", "!", "#", "&", "*", "$", "@", "\x02", "\x1e", "¦", "\\", "/", "=", "、", "·", "§", "¤", "þ")
LOOKED_AT = 200
"""Records by which delimiter and header are decided."""


@dataclass(frozen=True)
class Dialect:
    """How a delimited text is cut into fields."""

    delimiter: str
    quote: str
    why: Reason
    blanks: bool = False
    """Blanks after a delimiter are no part of the next field: there are quotes behind them."""
    escape: bool = False
    """A quote inside quotes has a backslash before it instead of being doubled."""


def reader_of(lines: Iterable[str], delimiter: str, quote: str, *, blanks: bool = False, escape: bool = False) -> Any:
    """The reader of records by a dialect."""
    return csv.reader(
        (kept_backslashes(line) for line in lines) if escape else lines,
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=blanks,
        escapechar="\\" if escape else None,
        doublequote=True,
        strict=True,
    )


def kept_backslashes(line: str) -> str:
    """A line in which only a quote or another backslash is escaped: any other backslash stays what it is."""
    return _BACKSLASH.sub(lambda found: found[0] if found[1] else "\\\\", line) if "\\" in line else line


_BACKSLASH = re.compile(r'\\(["\\])|\\')


def rows_of_sample(
    sample: str, delimiter: str, quote: str, blanks: bool = False, limit: int = LOOKED_AT, escape: bool = False
) -> list[tuple[int, Sequence[str]] | None]:
    """The first records, each with its line; None for one that is broken. Blank lines are left out."""
    reader = reader_of(io.StringIO(sample, newline=""), delimiter, quote, blanks=blanks, escape=escape)
    found: list[tuple[int, Sequence[str]] | None] = []
    line = 0
    while len(found) < limit:
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error:
            found.append(None)
        else:
            if fields and fields != ["\x1a"]:
                found.append((line + 1, fields))
        line = reader.line_num
    return found


def _cut(sample: str, delimiter: str, quote: str, blanks: bool = False, escape: bool = False) -> tuple[float, int, int]:
    """How well a delimiter cuts: share of records of one width (from the first such on), minus where these begin, the width."""
    rows = rows_of_sample(sample, delimiter, quote, blanks, escape=escape)
    widths = [len(row[1]) if row else 0 for row in rows]
    wide = Counter(width for width in widths if width > 1)
    if not wide:
        return 0.0, 0, 0
    usual = max(wide, key=lambda width: (wide[width], width))
    first = widths.index(usual)
    if wide[usual] < 2 < len(rows) and None not in rows:
        return 0.0, 0, 0
    return wide[usual] / len(widths[first:]), -first, usual


def decide_dialect(sample: str, overrides: Overrides, dataset: Dataset | None) -> Dialect:
    """Delimiter and quote by the first records, whether blanks after a delimiter count and whether quotes are escaped.

    Raises InputInvalid: `reading-lines-quoted`, `reading-quotes-broken`, `reading-columns-by-blanks`."""
    escaped = _escaped(sample, overrides)
    if escaped is not None:
        return escaped
    dialect = _dialect(sample, overrides, dataset)
    if dialect.why.code == "reading-delimiter-none":
        _refuse_hidden_columns(sample, dialect, overrides)
    delimiter, quote = dialect.delimiter, dialect.quote
    if quote and delimiter != " " and re.search(re.escape(delimiter) + " +" + re.escape(quote), sample):
        cells = [cell.strip() for row in rows_of_sample(sample, delimiter, quote) if row for cell in row[1] if cell.startswith(" ")]
        behind = any(len(cell) > 1 and cell[0] == cell[-1] == quote for cell in cells)
        if behind or _cut(sample, delimiter, quote, blanks=True)[0] > _cut(sample, delimiter, quote)[0]:
            return replace(dialect, blanks=True)
    return dialect


def _escaped(sample: str, overrides: Overrides) -> Dialect | None:
    """The dialect in which quotes have a backslash before them, if no other reads all of the first records and this one does."""
    if '\\"' not in sample or overrides.quote not in (None, '"'):
        return None
    delimiters = (overrides.delimiter,) if overrides.delimiter is not None else tuple(one for one in USUAL if one in sample)
    cuts = {one: _cut(sample, one, '"', escape=True) for one in delimiters}
    whole = {one: cut for one, cut in cuts.items() if cut[0] == 1.0 and cut[1] == 0}
    if not whole:
        return None
    best = max(whole, key=lambda one: (whole[one][2], -delimiters.index(one)))
    plain = rows_of_sample(sample, best, '"')
    if None not in plain and _cut(sample, best, '"')[0] == 1.0:
        return None
    return Dialect(best, '"', Reason("reading-delimiter-cuts", {"fields": whole[best][2]}), escape=True)


def _refuse_hidden_columns(sample: str, dialect: Dialect, overrides: Overrides) -> None:
    """One column that is several for the eye: lines in quotes as a whole, quotes that do not fit, columns held apart by blanks."""
    if overrides.delimiter is not None or overrides.header_row is not None:
        return
    rows = [row[1][0] for row in rows_of_sample(sample, dialect.delimiter, dialect.quote) if row and len(row[1]) == 1]
    if len(rows) < 3:
        return
    quoted = sum(line.startswith('"') for line in sample.splitlines()) * 2 > len(rows)
    inner = "\n".join(rows) + "\n"
    for delimiter in (",", "\t", ";", "|") if quoted else ():
        cut = _cut(inner, delimiter, '"')
        if cut[0] == 1.0 and cut[1] == 0 and cut[2] > 2:
            raise InputInvalid.because("reading-lines-quoted")
    for delimiter in (one for one in USUAL if one in sample) if '"' in sample and overrides.quote is None else ():
        cut = _cut(sample, delimiter, "")
        if cut[0] >= 0.9 and cut[1] == 0 and None in rows_of_sample(sample, delimiter, '"'):
            raise InputInvalid.because("reading-quotes-broken")
    parts = [re.split(r" {2,}|\t+ *", row.strip()) for row in rows]
    widths = Counter(len(one) for one in parts)
    usual = _usual([len(one) for one in parts])
    if usual > 1 and widths[usual] >= 0.9 * len(rows):
        raise InputInvalid.because("reading-columns-by-blanks", columns=usual)


def _dialect(sample: str, overrides: Overrides, dataset: Dataset | None) -> Dialect:
    """Delimiter and quote by the first records: those that name a dataset's items, else those that cut all records alike."""
    said = SAID.match(sample)
    body = sample[said.end() :] if said else sample
    if overrides.delimiter is not None:
        return Dialect(overrides.delimiter, _quote(body, overrides.delimiter, overrides), Reason("reading-by-override"))
    if said:
        return Dialect(said[2], _quote(body, said[2], overrides), Reason("reading-delimiter-said"))
    there = [one for one in (*USUAL, *UNUSUAL) if one in body]
    if dataset is not None:
        names = names_of(dataset)

        def named(delimiter: str) -> int:
            rows = rows_of_sample(body, delimiter, _quote(body, delimiter, overrides))[:HEADER_WITHIN]
            return max((len({names[normal(cell)] for cell in row[1] if normal(cell) in names}) for row in rows if row), default=0)

        best = max(there, key=named, default=None)
        if best is not None and named(best) > 1:
            return Dialect(best, _quote(body, best, overrides), Reason("reading-delimiter-names", {"items": named(best)}))
    scores = {one: _cut(body, one, _quote(body, one, overrides)) for one in there}
    for group in (USUAL, UNUSUAL):
        good = {one: score for one, score in scores.items() if one in group and score[0] >= 0.9}
        good = {one: score for one, score in good.items() if not _is_punctuation(one, score, body)}
        if good:
            best = max(good, key=lambda one: (good[one][1], good[one][2], -group.index(one)))
            return Dialect(best, _quote(body, best, overrides), Reason("reading-delimiter-cuts", {"fields": good[best][2]}))
    spaces = _cut(body, " ", '"')
    if spaces[0] == 1.0 and spaces[1] == 0 and spaces[2] >= 3 and _many_numbers(body):
        return Dialect(" ", _quote(body, " ", overrides), Reason("reading-delimiter-cuts", {"fields": spaces[2]}))
    # Ragged tables: what cuts at least half of the records alike, if anything does.
    ragged = {one: score for one, score in scores.items() if one in USUAL and (score[0] >= 0.3 or score[2] > 2)}
    ragged = {one: score for one, score in ragged.items() if not _is_punctuation(one, score, body)}
    if ragged:
        best = max(ragged, key=lambda one: (ragged[one][0] * ragged[one][2], -USUAL.index(one)))
        return Dialect(best, _quote(body, best, overrides), Reason("reading-delimiter-mostly", {"fields": ragged[best][2]}))
    alone = next(one for one in ("\x1f", "\x1e", "\x02", "\x01") if one not in body)
    return Dialect(alone, _quote(body, ",", overrides), Reason("reading-delimiter-none"))


_WORDS_HAVE = ("，", "；", *UNUSUAL)


def _is_punctuation(delimiter: str, score: tuple[float, int, int], body: str) -> bool:
    """Whether a character that cuts the records is part of what one column says: addresses, moments, sentences, names. A mark that words
    have cuts the header as well; two fields with a blank between them are words and their explanations."""
    _share, minus_first, fields = score
    spaced = fields == 2 and body.count(delimiter) == body.count(f"{delimiter} ")
    if delimiter in _WORDS_HAVE:
        return minus_first != 0 or (spaced and delimiter in UNUSUAL)
    return delimiter == "," and spaced and minus_first != 0


SAID = re.compile(r'(?i:("?)sep=([^\r\n])\1)(?:\r\n|\r|\n)')
"""The first line by which spreadsheet programs say the delimiter."""


def _many_numbers(sample: str) -> bool:
    rows = rows_of_sample(sample, " ", '"')
    cells = [cell for row in rows[1:] if row for cell in row[1]]
    return len(rows) >= 3 and sum(looks_like_data(cell) for cell in cells) * 3 >= len(cells) > 0


def _quote(sample: str, delimiter: str, overrides: Overrides) -> str:
    """`"` unless single quotes stand around fields, or (in files that seldom quote) double quotes are plain characters."""
    if overrides.quote is not None:
        return overrides.quote
    if '"' not in sample and "'" in sample:
        around = re.escape(delimiter)
        quoted_fields = re.findall(rf"(?:^|{around})'(?:[^'\r\n]|'')*'(?={around}|\r?$)", sample, re.MULTILINE)
        good, plain = _cut(sample, delimiter, "'"), _cut(sample, delimiter, "")
        if len(quoted_fields) * 2 >= sample.count("\n") and good[0] >= plain[0]:
            return "'"
    if '"' in sample and delimiter in "\t|\x01\x1f":
        quoted = rows_of_sample(sample, delimiter, '"')
        if None in quoted and _cut(sample, delimiter, "")[0] == 1.0 and f'""{delimiter}' not in sample:
            return ""
    return '"'


# --- header ---------------------------------------------------------------------------------------------------------------

HEADER_WITHIN = 50
"""A header is looked for among this many first records: real files begin with titles and blank rows."""


@dataclass(frozen=True)
class Header:
    """Which records make up the header: positions among the first records, `first` to `last`; both -1 for none."""

    first: int
    last: int
    cells: tuple[str, ...]
    why: Reason


_DATA = re.compile(
    r"[-+]?[¥￥$€£]?[0-9][0-9,，.']*%?([eE][-+]?[0-9]+)?"
    r"|[0-9]{1,4}[-/.年][0-9]{1,2}([-/.月][0-9]{1,4}日?)?([T ].*)?|[0-9]{1,2}:[0-9]{2}.*|(?i:true|false)|是|否"
)


def looks_like_data(cell: str) -> bool:
    """Whether a cell is a number, a day, a time or a truth: what headers seldom are."""
    return _DATA.fullmatch(cell.strip()) is not None


def _filled(cells: Sequence[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def _years(cells: Sequence[str]) -> bool:
    """Numbers that a header may well hold beside words: years, months, days or periods, each once and in even steps."""
    data = [cell.strip() for cell in cells if looks_like_data(cell)]
    all_years = all(_YEAR.fullmatch(one) for one in data)
    if len(data) < 2 or (not all_years and (len(data) == len(cells) or looks_like_data(cells[0]))):
        return False
    if all(one.removesuffix("年").isascii() and one.removesuffix("年").isdigit() for one in data):
        numbers = [int(one.removesuffix("年")) for one in data]
        steps = {later - earlier for earlier, later in itertools.pairwise(numbers)}
        years = all(1900 <= one <= 2100 for one in numbers)
        periods = steps in ({1}, {-1}) and not any(one.startswith("0") for one in data) and all(1 <= one <= 31 for one in numbers)
        return len(steps) == 1 and steps != {0} and (years or periods)
    days = [_PERIOD.fullmatch(one) for one in data]
    if len(data) < 3 or not all(days):
        return False
    months = [int(one[1]) * 12 + int(one[2]) for one in days if one]
    inside = {one[3] for one in days if one}
    steps = {later - earlier for earlier, later in itertools.pairwise(months)}
    return len(steps) == 1 and steps != {0} and len(inside) == 1


_YEAR = re.compile(r"(19|20)[0-9]{2}年?")
_PERIOD = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})(?:月|[-/.月]([0-9]{1,2})日?)?(?: 00:00:00)?")


def decide_header(rows: Sequence[Sequence[str]], where: Sequence[int], overrides: Overrides, dataset: Dataset | None) -> Header:
    """The header among the first records; `where` tells each record's row or line, for reasons and for `Overrides.header_row`.

    Raises InputInvalid: `reading-header-not-there`, `reading-header-unsure`, `reading-header-is-data`, `reading-header-repeats`,
    `intake-header-not-found`."""
    if overrides.header_row is not None:
        return _header_said(rows, where, overrides)
    if dataset is not None:
        return _header_of(rows, dataset)
    first = rows[:HEADER_WITHIN]
    widths = [max((i + 1 for i, cell in enumerate(cells) if cell.strip()), default=0) for cells in rows]
    filled = [_filled(cells) for cells in first]
    usual = _usual([width for width in widths if width])
    full = max(filled)
    typical = _usual([_filled(cells) for cells in rows if _filled(cells)])
    asked = max(1, min(full, -(-max(usual, typical) * 3 // 4)))
    candidates = [i for i, count in enumerate(filled) if count >= asked]
    start = candidates[0] if candidates else filled.index(full)
    # Of the rows of words that stand one below the other at the top, the fullest is the header.
    words = [start]
    for i in range(start + 1, len(first)):
        if filled[i] < asked or any(looks_like_data(cell) for cell in first[i]):
            break
        words.append(i)
    if not any(looks_like_data(cell) for cell in first[start]) and len(words) < len([1 for c in filled if c]) - start:
        start = max(words, key=lambda i: (min(filled[i], usual), len({normal(c) for c in first[i] if c.strip()}), -i))
    cells = tuple(first[start])
    _refuse_unsure(rows, where, start, widths)
    return Header(start, start, cells, Reason("reading-header-first-full", {"row": where[start], "names": filled[start]}))


def _usual(numbers: Sequence[int]) -> int:
    counts = Counter(numbers)
    return max(counts, key=lambda one: (counts[one], one))


def _refuse_unsure(rows: Sequence[Sequence[str]], where: Sequence[int], start: int, widths: Sequence[int]) -> None:
    cells = [cell.strip() for cell in rows[start]]
    named = [cell for cell in cells if cell]
    data = [cell for cell in named if looks_like_data(cell)]
    below = rows[start + 1 :]
    if below and len(data) * 2 >= len(named) and not _years(named):
        raise InputInvalid.because("reading-header-is-data", row=where[start])
    if below and data and not _years(named):

        def data_below(position: int) -> bool:
            return all(looks_like_data(row[position]) for row in below if position < len(row) and row[position].strip())

        numeric = [position for position, cell in enumerate(cells) if cell and looks_like_data(cell) and data_below(position)]
        if len(numeric) == len(data):
            raise InputInvalid.because("reading-header-is-data", row=where[start])
    if len(below) > 1 and data:
        years = [position for position, cell in enumerate(cells) if _YEAR.fullmatch(cell)]
        under = [row[position].strip() for row in below for position in years if position < len(row) and row[position].strip()]
        if under and all(map(_YEAR.fullmatch, under)):  # years below years
            raise InputInvalid.because("reading-header-is-data", row=where[start])
    same = sum(1 for row in below if [cell.strip() for cell in row] == cells)
    if len(below) >= 2 and same * 2 >= len(below):
        raise InputInvalid.because("reading-header-repeats", row=where[start])
    # Names that the header lacks but another row of words beside it has: it is spread over several rows.
    lacking = {position for position in range(widths[start] if start < len(widths) else 0) if not cells[position]}
    lacking |= {position for position in range(len(cells)) if not cells[position]}
    for near in range(max(0, start - 3), min(len(rows), start + 3)):
        if near == start:
            continue
        there = {p for p, cell in enumerate(rows[near]) if cell.strip()}
        words = there and not any(looks_like_data(rows[near][p]) for p in there)
        above = near == start - 1 and len(there) > 1 and (lacking & there or len(there - lacking) > 1)
        below_it = near == start + 1 and len(there & lacking) > 0
        if words and lacking & there and (above or below_it) and _are_names(rows, near, start, there & lacking):
            raise InputInvalid.because("reading-header-unsure", first=where[min(near, start)], last=where[max(near, start)])
        if words and there <= lacking and len(there) > 1:
            beneath = [row for row in rows[near + 1 :] if _filled(row) > 1]
            if any(row[p].strip() for row in beneath for p in there if p < len(row)):
                raise InputInvalid.because("reading-header-unsure", first=where[min(near, start)], last=where[max(near, start)])


def _are_names(rows: Sequence[Sequence[str]], near: int, start: int, positions: Collection[int]) -> bool:
    """Whether words of a row beside the header name columns: something stands below them and, if the row is below the header, numbers
    throughout."""
    below = [row for row in rows[max(near, start) + 1 :] if _filled(row) > 1]
    under = [[row[p] for row in below if p < len(row) and row[p].strip()] for p in positions]
    return all(under) if near < start else any(cells and all(map(looks_like_data, cells)) for cells in under)


def _header_of(rows: Sequence[Sequence[str]], dataset: Dataset) -> Header:
    names = names_of(dataset)

    def named(cells: Sequence[str]) -> int:
        return len({names[normal(cell)] for cell in cells if normal(cell) in names})

    found = [named(cells) for cells in rows[:HEADER_WITHIN]]
    best = max(range(len(found)), key=lambda i: (found[i], -i), default=None)
    if best is None or not found[best]:
        raise InputInvalid.because("intake-header-not-found", dataset=dataset.id, records=HEADER_WITHIN)
    return Header(best, best, tuple(rows[best]), Reason("reading-header-names", {"items": found[best], "dataset": dataset.id}))


def _header_said(rows: Sequence[Sequence[str]], where: Sequence[int], overrides: Overrides) -> Header:
    said = overrides.header_row
    if said == 0:
        width = _usual([len(cells) for cells in rows])
        return Header(-1, -1, ("",) * width, Reason("reading-by-override"))
    if said not in where:
        raise InputInvalid.because("reading-header-not-there", row=said or 0)
    first = where.index(said)
    last = min(first + overrides.header_rows, len(rows)) - 1
    return Header(first, last, joined(rows[first : last + 1]), Reason("reading-by-override"))


def joined(rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The cells of a header of several rows, joined downwards: `收入` over `工资` is `收入/工资`; what repeats stands once."""
    width = max(len(cells) for cells in rows)
    columns = []
    for position in range(width):
        parts: list[str] = []
        for cells in rows:
            part = tidy(cells[position]) if position < len(cells) else ""
            if part and part not in parts:
                parts.append(part)
        columns.append("/".join(parts))
    return tuple(columns)


def data_columns(rows: Sequence[Sequence[str]], width: int) -> frozenset[int]:
    """Columns that hold numbers, days or truths in most of these rows, and often enough to tell."""
    found = []
    for position in range(width):
        cells = [row[position] for row in rows if position < len(row) and row[position].strip()]
        if len(cells) >= 4 and sum(looks_like_data(cell) for cell in cells) * 4 >= len(cells) * 3:
            found.append(position)
    return frozenset(found)


def is_like_header(cells: Sequence[str], data: Collection[int]) -> bool:
    """Whether a row in the body is words throughout where the others have numbers: a second header, units, another table."""
    filled = [position for position, cell in enumerate(cells) if cell.strip()]
    words = [position for position in filled if position in data and not looks_like_data(cells[position])]
    return len(words) >= 3 and len(words) * 2 > len(data) and not any(looks_like_data(cells[position]) for position in filled)


def is_units(cells: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Whether the first row below a header holds the units of the columns: words in columns that are numbers from there on."""
    filled = {position: cell.strip() for position, cell in enumerate(cells) if cell.strip()}
    if len(below) < 2 or not filled or any(looks_like_data(cell) for cell in filled.values()):
        return False

    def numbers(position: int) -> bool:
        under = [row[position] for row in below if position < len(row) and row[position].strip()]
        return len(under) > 1 and all(map(looks_like_data, under))

    units = {position for position in filled if numbers(position)}
    others = [cell for position, cell in filled.items() if position not in units]
    if not units or not all(_UNIT_LABEL.fullmatch(cell) or _UNIT.fullmatch(cell) for cell in others):
        return False
    return (len(units) > 1 and not others) or all(_UNIT.fullmatch(filled[position]) for position in units)


_UNIT_LABEL = re.compile(r"[(（]?(计量)?单位[)）]?|units?|-|/", re.IGNORECASE)
_UNIT = re.compile(
    r"[(（\[【]?(单位[:：])?([十百千万亿]*(人|人次|户|元|美元|个|家|件|次|台|辆|张|份|条|宗|所|座|册|头|只|株|天|小时|分钟|岁)"
    r"|[十百千万亿]*(平方)?(公里|千米|米|厘米|毫米)|[十百千万亿]*(立方米|公顷|亩|吨|公斤|千克|克|升|千瓦时|千瓦|度)|[%％‰]|℃"
    r"|[munk]?[mglVWA][²³23]?|k?m²|ha|kg|km|kWh?|pcs?|eur|usd|cny|rmb|€|[$]|¥)(/[a-z一-龥]{1,4})?[)）\]】]?",
    re.IGNORECASE,
)


# --- rows that are no rows ------------------------------------------------------------------------------------------------

TAIL_ROWS = 60
"""Totals and notes are looked for among so many last rows."""
_TOTAL = re.compile(r"(合计|总计|小计|共计|总和|累计|合計|總計|小計|(grand |sub)?totals?|sum)[:：]?", re.IGNORECASE)
_NOTE = re.compile(
    r"(注[0-9一二三]?|备注|说明|附注|填报说明|填表说明|数据来源|资料来源|来源|制表人?|填表人|填报人|审核人?|复核|负责人|单位负责人|联系人|填表日期|打印时间|打印日期|"
    r"导出时间|第 ?[0-9]+ ?页|共 ?[0-9]+ ?(页|条|行)|notes?|source|fuente|quelle|bron|remarks?|prepared by|printed)\s*[:：,，。.]?.*",
    re.IGNORECASE | re.DOTALL,
)


_SIGNED = re.compile(
    r"(制表人?|填表人?|填报人|经办人?|审核人?|复核人?|审批人?|负责人|单位负责人|联系人|联系电话|填表日期|填报日期|填报单位|制表日期|打印时间|打印日期|导出时间|导出人"
    r"|prepared by|checked by|printed|page)\s*[:：].*",
    re.IGNORECASE | re.DOTALL,
)
"""Who filled a form in, and when: each cell with its own label."""
BODY_TOTALS = ("合计", "小计", "总计")
"""First cells of totals between other rows of a text file: such a row is none where it also leaves a cell empty."""
_DRAWN = re.compile(r":?[-=_+]{2,}:?")


def is_drawn_line(cells: Sequence[str]) -> bool:
    """Whether a row is a line drawn of hyphens below a header."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    return bool(filled) and all(_DRAWN.fullmatch(cell) for cell in filled)


_LONG_NOTE = 40
"""Characters from which a single text in an otherwise empty row is a note."""


def is_total_or_note(cells: Sequence[str]) -> bool:
    """Whether a row is a total over the others, or words about the table, rather than one of its rows."""
    filled = [cell.strip() for cell in cells if cell.strip()]
    if not filled or len(cells) < 2:
        return False
    if all(_SIGNED.fullmatch(cell) for cell in filled):
        return True
    first = "".join(filled[0].split())
    if _TOTAL.fullmatch(first) or _TOTAL.fullmatch(filled[0]):
        return len(filled) < len(cells) or all(looks_like_data(cell) for cell in filled[1:])
    if len(filled) == 1 and len(cells) >= 3 and len(filled[0]) >= _LONG_NOTE:
        return True
    return len(filled) * 2 <= len(cells) and (_NOTE.fullmatch(filled[0]) is not None)
