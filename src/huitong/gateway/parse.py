"""Text to one checked SELECT tree. Nothing unlisted survives, and any exception of the parser is a refusal.

The tree that leaves has only listed classes, arguments, words, names and literals; `allowed.py` is the list."""

import logging
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from types import FunctionType

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, SqlglotError, TokenError
from sqlglot.parsers.duckdb import DuckDBParser
from sqlglot.tokenizer_core import Token, TokenType

from huitong.errors import Reason, Refused
from huitong.gateway.allowed import ALLOWED, CAST_TYPES, CONSTRUCTS, FILLED, FUNCTIONS_INSTEAD, REQUIRED, UNDER, UNITS

logging.getLogger("sqlglot").addFilter(lambda _record: False)
# The parser warns with the statement's own text, which may hold personal literals; a log is no place for them.

NAME = re.compile(r"[A-Za-z0-9_\u3400-\u4dbf\u4e00-\u9fff]{1,63}")
_NUMBER = re.compile(r"\d{1,38}(\.\d{0,38})?|\.\d{1,38}|\d{1,17}(\.\d{0,17})?[eE][+-]?\d{1,3}")
_LARGEST_EXPONENT = 300
_SHOWN = 60


@dataclass(frozen=True)
class Caps:
    """How large a statement may be; the values and their source stand in `limits.toml`."""

    characters: int
    depth: int
    nodes: int
    datasets: int
    steps_back: int
    text_literal_characters: int
    division_list: int
    columns: int
    queries_of_an_office: int
    queries_at_once: int
    cached_plans: int
    cached_characters: int


@cache
def read_caps() -> Caps:
    """The caps of `limits.toml`."""
    written = tomllib.loads((files("huitong.gateway") / "limits.toml").read_text("utf-8"))
    return Caps(**{field.name: int(written[field.name]) for field in fields(Caps)})


def parse(sql: str, caps: Caps) -> exp.Query:
    """The tree of one SELECT (or set operation). Raises Refused with every reason found."""
    if len(sql) > caps.characters:
        raise Refused.because("statement-too-long", characters=len(sql), limit=caps.characters)
    try:
        return _parse(sql, caps)
    except Refused:
        raise
    except RecursionError:
        raise Refused.because("statement-too-deep", limit=caps.depth) from None
    except ParseError as error:
        where = error.errors[0] if error.errors else {}
        line, column = where.get("line"), where.get("col")
        if isinstance(line, int) and isinstance(column, int):
            raise Refused.because("statement-not-understood-at", line=line, column=column) from None
        raise Refused.because("statement-not-understood") from None
    except (SqlglotError, TokenError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError):
        raise Refused.because("statement-not-understood") from None
    except Exception:
        raise Refused.because("statement-not-understood") from None


if not isinstance(DuckDBParser._retreat, FunctionType):
    raise RuntimeError(
        "The compiled form of sqlglot is installed, whose parser cannot be bounded (docs/decisions/0035-a-bounded-parser.md). "
        "Remove it: pip uninstall sqlglotc"
    )


class _Parser(DuckDBParser):
    """The parser of the dialect, which goes back and tries another way only so often.

    For some statements it would try every combination: twenty joins before their conditions, forty `DATE(` in each other. It would hold
    the process longer than anybody waits, and no other request would get on."""

    may_step_back = 0

    def _retreat(self, index: int) -> None:
        self.may_step_back -= abs(int(self._index) - index)
        if self.may_step_back < 0:
            raise Refused.because("statement-too-involved")
        super()._retreat(index)


def _parse(sql: str, caps: Caps) -> exp.Query:
    dialect = Dialect.get_or_raise("duckdb")
    if not sql.strip():
        raise Refused.because("statement-empty")
    tokens = dialect.tokenize(sql)
    _check_tokens(tokens, sql, caps)
    parser = _Parser(dialect=dialect)
    parser.may_step_back = caps.steps_back
    trees = [tree for tree in parser.parse(tokens, sql) if tree is not None]
    if len(trees) != 1:
        raise Refused.because("statement-not-one", statements=len(trees))
    tree = trees[0]
    faults = tuple(dict.fromkeys(_faults(tree, caps)))
    if not isinstance(tree, exp.Select | exp.SetOperation | exp.Subquery):
        faults = faults or (_construct(type(tree).__name__),)
    if faults:
        raise Refused(*faults)
    assert isinstance(tree, exp.Query)
    return tree


def _check_tokens(tokens: list[Token], sql: str, caps: Caps) -> None:
    """What must be seen before the parser: brackets too deep, and a number that runs into a word (`0x41`, `1_000`), which
    two parsers may read differently."""
    depth = 0
    previous: Token | None = None
    for token in tokens:
        if token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE):
            depth += 1
            if depth > caps.depth:
                raise Refused.because("statement-too-deep", limit=caps.depth)
        elif token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE):
            depth -= 1
        elif token.token_type is TokenType.NUMBER and "_" in sql[token.start : token.end + 1]:
            raise Refused.because("number-form-refused", line=token.line, column=token.col)
        if (
            previous is not None
            and previous.token_type is TokenType.NUMBER
            and token.start == previous.end + 1
            and (sql[token.start].isalnum() or sql[token.start] == "_")
        ):
            raise Refused.because("number-form-refused", line=token.line, column=token.col)
        previous = token


def _faults(tree: exp.Expr, caps: Caps) -> Iterable[Reason]:
    """Every unlisted thing of the tree. Iterative, so that depth is a count and never a stack overflow."""
    count = 0
    waiting: list[tuple[exp.Expr, int]] = [(tree, 1)]
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > caps.nodes:
            yield Reason("statement-too-large", {"limit": caps.nodes})
            return
        if depth > caps.depth:
            yield Reason("statement-too-deep", {"limit": caps.depth})
            return
        kind = type(node)
        shape = ALLOWED.get(kind)
        if shape is None:
            yield _unlisted(node)
            continue
        if kind in UNDER and not isinstance(node.parent, UNDER[kind]):
            yield _construct(kind.__name__)
            continue
        if kind in _LEAVES:
            fault = _LEAVES[kind](node, caps)
            if fault is not None:
                yield fault
            if fault is not None or kind is not exp.DataType:
                continue
        empty = kind in FILLED and not any(node.args.get(name) for name in FILLED[kind])
        if empty or any(node.args.get(name) is None for name in REQUIRED[kind]):
            yield Reason("construct-empty", {"construct": kind.__name__.upper()})
            continue
        for name, value in node.args.items():
            if value is None or value is False or value == [] or value == "":
                continue
            if name in shape.words and isinstance(value, str | bool):
                if (value.upper() if isinstance(value, str) else value) not in shape.words[name]:
                    yield _construct(f"{kind.__name__}.{name}")
            elif name in shape.children and isinstance(value, exp.Expr):
                waiting.append((value, depth + 1))
            elif name in shape.children and isinstance(value, list) and all(isinstance(part, exp.Expr) for part in value):
                waiting.extend((part, depth + 1) for part in value)
            elif kind is exp.DataType and name in ("this", "nested"):
                continue
            else:
                yield _construct(f"{kind.__name__}.{name}")


def _unlisted(node: exp.Expr) -> Reason:
    """The reason for a class that is not listed: by the function's name if it is one."""
    kind = type(node).__name__
    if kind in CONSTRUCTS:
        return _construct(kind)
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        name = name.lower()[:_SHOWN] if NAME.fullmatch(name) else kind
        instead = FUNCTIONS_INSTEAD.get(name, "")
        if instead:
            return Reason("function-refused-instead", {"function": name, "instead": instead})
        return Reason("function-refused", {"function": name})
    return _construct(kind)


def _construct(name: str) -> Reason:
    shown, instead = CONSTRUCTS.get(name, (re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.rstrip("_")).upper(), ""))
    if instead:
        return Reason("construct-refused-instead", {"construct": shown, "instead": instead})
    return Reason("construct-refused", {"construct": shown})


def _identifier(node: exp.Expr, _caps: Caps) -> Reason | None:
    if any(value for name, value in node.args.items() if name not in ("this", "quoted")):
        return _construct("Identifier")
    if not isinstance(node.this, str) or NAME.fullmatch(node.this) is None:
        return Reason("name-invalid")
    return None


def _literal(node: exp.Expr, caps: Caps) -> Reason | None:
    text = node.this
    if not isinstance(text, str):
        return _construct("Literal")
    if node.args.get("is_string"):
        if len(text) > caps.text_literal_characters or "\x00" in text:
            return Reason("text-literal-refused", {"limit": caps.text_literal_characters})
        return None
    if _NUMBER.fullmatch(text) is None:
        return Reason("number-refused")
    exponent = re.split("[eE]", text)[1:]
    if exponent and abs(int(exponent[0])) > _LARGEST_EXPONENT:
        return Reason("number-refused")
    return None


def _var(node: exp.Expr, _caps: Caps) -> Reason | None:
    if str(node.this).upper() not in UNITS or not isinstance(node.parent, _TAKES_UNIT):
        return Reason("unit-refused", {"units": ", ".join(sorted(unit.lower() for unit in UNITS))})
    return None


def _data_type(node: exp.Expr, _caps: Caps) -> Reason | None:
    listed = ", ".join(sorted({kind.value for kind in CAST_TYPES} - {"VARCHAR", "TIMESTAMPNTZ"}))
    if not isinstance(node.this, exp.DType) or node.this not in CAST_TYPES or not isinstance(node.parent, exp.Cast | exp.TryCast):
        return Reason("type-refused", {"types": listed})
    if node.expressions and node.this is not exp.DType.DECIMAL:
        return Reason("type-refused", {"types": listed})
    return None


def _data_type_parameter(node: exp.Expr, _caps: Caps) -> Reason | None:
    inner = node.this
    if not isinstance(inner, exp.Literal) or inner.is_string or not inner.this.isdigit() or int(inner.this) > 38:
        return Reason("type-refused", {"types": "DECIMAL(38, 0)"})
    if any(value for name, value in node.args.items() if name != "this"):
        return _construct("DataTypeParam")
    return None


def _boolean(node: exp.Expr, _caps: Caps) -> Reason | None:
    return None if isinstance(node.this, bool) else _construct("Boolean")


def _bare(node: exp.Expr, _caps: Caps) -> Reason | None:
    used = [name for name, value in node.args.items() if value]
    return _construct(f"{type(node).__name__}.{used[0]}") if used else None


_TAKES_UNIT = (exp.Extract, exp.TimestampTrunc, exp.DateDiff, exp.Interval)
_LEAVES = {
    exp.Identifier: _identifier,
    exp.Literal: _literal,
    exp.Var: _var,
    exp.DataType: _data_type,
    exp.DataTypeParam: _data_type_parameter,
    exp.Boolean: _boolean,
    exp.Null: _bare,
    exp.Star: _bare,
}
