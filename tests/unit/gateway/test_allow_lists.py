"""The allow-lists are about what the parser really has, and nothing outside them passes."""

import inspect
import re
from pathlib import Path

import pytest
from sqlglot import exp

import huitong.gateway
import huitong.masks
import huitong.policy
from huitong.errors import Refused
from huitong.gateway.allowed import AGGREGATES, ALLOWED, CONSTRUCTS, FUNCTIONS, OPERATORS, RANKINGS, STRUCTURE
from huitong.gateway.parse import parse, read_caps
from huitong.words import sentences

FORBIDDEN = {
    "Anonymous", "AnonymousAggFunc", "Command", "Placeholder", "Parameter", "Unnest", "Lateral", "Lambda", "Columns", "Values", "Pivot",
    "Bracket", "Dot", "ReadCSV", "ReadParquet", "GenerateSeries", "JSONExtract", "Struct", "Array", "Map", "Collate", "Repeat", "Try",
    "CurrentDate", "CurrentTimestamp", "CurrentUser", "SessionParameter", "Rand", "Uuid", "Into", "Lock", "TableSample", "Hint",
    "Introducer", "National", "HexString", "ByteString", "RawString", "Heredoc", "UserDefinedFunction", "Kwarg", "Slice", "Tuple",
}  # fmt: skip


def test_every_listed_argument_is_one_that_the_parser_has() -> None:
    for kind, shape in ALLOWED.items():
        unknown = (shape.children | set(shape.words)) - set(kind.arg_types)
        assert not unknown, (kind.__name__, unknown)


def test_the_lists_do_not_overlap() -> None:
    lists = (STRUCTURE, OPERATORS, AGGREGATES, RANKINGS, FUNCTIONS)
    assert sum(len(entries) for entries in lists) == len(ALLOWED)


def test_what_must_never_be_listed_is_not() -> None:
    assert FORBIDDEN.isdisjoint({kind.__name__ for kind in ALLOWED})


def test_every_class_of_the_parser_outside_the_list_is_refused() -> None:
    """By class, not by syntax: a tree with any unlisted node is refused, also a node that a later parser may make."""
    from huitong.gateway.parse import _faults

    bases = (exp.Expr, exp.Expression)
    kinds = [kind for _, kind in inspect.getmembers(exp, inspect.isclass) if issubclass(kind, exp.Expr) and kind not in (*ALLOWED, *bases)]
    assert len(kinds) > 500
    for kind in kinds:
        try:
            node = kind(this=exp.Null())
        except (TypeError, AttributeError, NotImplementedError):
            continue
        tree = exp.Select(expressions=[node])
        assert list(_faults(tree, read_caps())), kind.__name__


def test_every_unlisted_argument_of_a_listed_class_is_refused() -> None:
    from huitong.gateway.parse import _faults

    for kind, shape in ALLOWED.items():
        if kind in (exp.Literal, exp.Identifier, exp.Boolean, exp.Star, exp.Null, exp.DataType, exp.Var, exp.DataTypeParam):
            continue
        for name in set(kind.arg_types) - shape.children - set(shape.words):
            node = kind(**{name: exp.Null()})
            assert list(_faults(exp.Select(expressions=[node]), read_caps())), (kind.__name__, name)


def test_words_of_sql_that_are_printed_as_they_stand_are_listed_ones() -> None:
    for sql in (
        "SELECT a FROM t LEFT JOIN u ON t.a = u.a",
        "SELECT sum(a) OVER (ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM t",
    ):
        parse(sql, read_caps())
    tree = parse("SELECT a FROM t LEFT JOIN u ON t.a = u.a", read_caps())
    join = tree.find(exp.Join)
    assert join is not None
    join.set("side", "LEFT; DROP TABLE x")
    from huitong.gateway.parse import _faults

    assert list(_faults(tree, read_caps()))


@pytest.mark.parametrize("sql", ["SELECT foo(1)", "SELECT a FROM foo(1)", "SELECT system.foo(1)", "SELECT a.foo()"])
def test_unknown_functions_are_refused_by_name(sql: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(sql, read_caps())
    assert {reason.code for reason in caught.value.reasons} <= {"function-refused", "construct-refused", "construct-refused-instead"}


def test_all_unlisted_things_are_told_at_once() -> None:
    with pytest.raises(Refused) as caught:
        parse("SELECT foo(1), bar(2), any_value(a), name::uuid FROM t TABLESAMPLE 10% QUALIFY TRUE", read_caps())
    codes = [reason.code for reason in caught.value.reasons]
    assert len(codes) == 6
    shown = {reason.parameters.get("function") or reason.parameters.get("construct") for reason in caught.value.reasons}
    assert {"foo", "bar", "any_value / IGNORE NULLS", "TABLESAMPLE", "QUALIFY"} <= shown


def test_what_to_use_instead_is_told() -> None:
    with pytest.raises(Refused) as caught:
        parse("SELECT current_date", read_caps())
    assert caught.value.reasons[0].parameters["instead"] == "DATE '2026-01-31'"


def test_names_of_constructs_belong_to_the_parser() -> None:
    for name in CONSTRUCTS:
        kind, _, argument = name.partition(".")
        if argument:
            assert argument in getattr(exp, kind).arg_types, name


def test_every_reason_of_this_part_has_words_in_both_languages() -> None:
    codes: set[str] = set()
    for package in (huitong.gateway, huitong.masks, huitong.policy):
        for file in Path(str(package.__file__)).parent.rglob("*.py"):
            text = file.read_text("utf-8")
            codes |= set(re.findall(r'(?:because|fault|Reason)\(\s*"([a-z]+(?:-[a-z]+)+)"', text))
    assert len(codes) > 60
    for language in ("en", "zh-Hans"):
        assert codes - set(sentences(language)) == set()
    english, chinese = sentences("en"), sentences("zh-Hans")
    for code in codes:
        assert set(re.findall(r"{(\w+)}", english[code])) == set(re.findall(r"{(\w+)}", chinese[code])), code
