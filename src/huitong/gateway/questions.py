"""What was asked of totals, in one form for all ways of writing it: the condition, the items of GROUP BY, the items whose values are
totalled, and what of the grant says which rows and values that was about.

A question is kept sealed, for its condition may name a person; a keyed hash of it tells whether two are the same."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sqlglot import exp

from huitong.catalog.canonical import plain
from huitong.model.policy import Comparator, Comparison, DivisionRows, ItemTerm, Mask, MaskKind, SubjectRows, Terms

ALIAS = "q"
"""The name of the dataset in a kept condition."""
_NONCE = 12
_FLIPPED: Mapping[type[exp.Expr], type[exp.Expr]] = {
    exp.EQ: exp.EQ, exp.NEQ: exp.NEQ, exp.GT: exp.LT, exp.GTE: exp.LTE, exp.LT: exp.GT, exp.LTE: exp.GTE,
}  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One statement of totals, as far as it says which entities its groups hold."""

    condition: str
    """In canonical form; empty: none."""
    keys: tuple[str, ...]
    """Items of GROUP BY, in order of name."""
    values: tuple[str, ...]
    """Items that are summed or averaged, in order of name."""
    items: tuple[str, ...]
    """All that it reads, in order of name."""


@dataclass(frozen=True)
class KeptQuestion:
    """A question with the terms under which it was answered, as far as they say which rows and values it was about."""

    question: Question
    terms: Terms


def question_of(tree: exp.Select, outputs: Sequence[exp.Expr]) -> Question:
    """The question of a bound statement of one dataset; `outputs` are what SELECT shows."""
    where, group = tree.args.get("where"), tree.args.get("group")
    condition = "" if where is None else _text(_canonical(_renamed(where.this.copy())))
    keys = {_key(key, outputs).name for key in group.expressions} if group is not None else set()
    values = {node.this.name for node in outputs if isinstance(node, exp.Sum | exp.Avg)}
    read = {column.name for column in where.find_all(exp.Column)} if where is not None else set()
    return Question(condition, tuple(sorted(keys)), tuple(sorted(values)), tuple(sorted(read | keys | values)))


def _key(key: exp.Expr, outputs: Sequence[exp.Expr]) -> exp.Expr:
    if isinstance(key, exp.Literal):
        return outputs[int(key.this) - 1]
    while isinstance(key, exp.Paren):
        key = key.this
    return key


def _renamed(node: exp.Expr) -> exp.Expr:
    for column in node.find_all(exp.Column):
        column.set("table", exp.Identifier(this=ALIAS, quoted=True))
    return node


def _text(node: exp.Expr) -> str:
    return node.sql(dialect="duckdb", comments=False)


def _canonical(node: exp.Expr) -> exp.Expr:
    """The same condition: no brackets of the person's, operands of AND and OR each once and in order, the item on the left."""
    if isinstance(node, exp.Paren):
        return _canonical(node.this)
    if isinstance(node, exp.And | exp.Or):
        kind = type(node)
        operands = sorted({_text(one): one for one in _flat(node, kind)}.items())
        joined = _enclosed(operands[0][1])
        for _, operand in operands[1:]:
            joined = kind(this=joined, expression=_enclosed(operand))
        return joined
    if isinstance(node, exp.Not):
        inner = _canonical(node.this)
        return inner.this if isinstance(inner, exp.Not) else exp.Not(this=_enclosed(inner))
    if isinstance(node, exp.In) and node.expressions:
        listed = sorted({_text(one): one for one in node.expressions}.items())
        return exp.In(this=node.this, expressions=[one for _, one in listed])
    if type(node) in _FLIPPED and node.this.find(exp.Column) is None:
        return _FLIPPED[type(node)](this=node.expression, expression=node.this)
    return node


def _enclosed(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node) if isinstance(node, exp.And | exp.Or) else node


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> list[exp.Expr]:
    found: list[exp.Expr] = []
    for side in (node.this, node.expression):
        inner = _canonical(side)
        while isinstance(inner, exp.Paren):
            inner = inner.this
        found += _flat(inner, kind) if isinstance(inner, kind) else [inner]
    return found


# --- kept -----------------------------------------------------------------------------------------------------------------


def document_of(question: Question, terms: Terms) -> bytes:
    """The canonical text of both: of the terms only masks of the items that are read, rules of rows, k, and the group of pseudonyms."""
    masks = [term for term in terms.items if term.item in question.items]
    written = {
        "condition": question.condition,
        "keys": question.keys,
        "values": question.values,
        "items": question.items,
        "masks": sorted([term.item, term.mask.kind.value, sorted(term.mask.parameters.items())] for term in masks),
        "rows": plain(terms.rows),
        "agreed": terms.valid_from.isoformat() if terms.rows is not None else None,
        "rules": sorted([one.item, one.comparator.value, list(one.values)] for one in terms.condition),
        "subjects": plain(terms.subjects),
        "tokens": terms.linkage_group if any(term.mask.kind is MaskKind.PSEUDONYM for term in masks) else None,
        "k": terms.k,
    }
    return json.dumps(written, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode("utf-8", "surrogatepass")


def kept_of(document: bytes, terms: Terms) -> KeptQuestion:
    """Both again; what a document does not say of the terms, their purpose and time, is that of `terms`."""
    written: Mapping[str, Any] = json.loads(document.decode("utf-8", "surrogatepass"))
    question = Question(written["condition"], *(tuple(written[name]) for name in ("keys", "values", "items")))
    masks = tuple(ItemTerm(item, Mask(MaskKind(kind), dict(parameters))) for item, kind, parameters in written["masks"])
    return KeptQuestion(
        question,
        replace(
            terms,
            items=masks or terms.items,
            rows=None if written["rows"] is None else DivisionRows(**written["rows"]),
            valid_from=terms.valid_from if written["agreed"] is None else datetime.fromisoformat(written["agreed"]),
            valid_until=datetime.max.replace(tzinfo=terms.valid_until.tzinfo),
            condition=tuple(Comparison(item, Comparator(how), tuple(values)) for item, how, values in written["rules"]),
            subjects=None if written["subjects"] is None else SubjectRows(**written["subjects"]),
            linkage_group=written["tokens"] or terms.linkage_group,
            k=written["k"],
        ),
    )


def digest_of(document: bytes, key: bytes) -> str:
    """A keyed hash, in hex: equal for the same question under the same rules."""
    return hmac.digest(key, b"digest\x1f" + document, hashlib.sha256).hex()


def sealed(document: bytes, key: bytes, about: str) -> bytes:
    """The document, readable to who has the key alone (ChaCha20-Poly1305, RFC 8439), bound to what it is `about`."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + ChaCha20Poly1305(_sealing(key)).encrypt(nonce, document, about.encode())


def unsealed(closed: bytes, key: bytes, about: str) -> bytes:
    """The document again. Raises cryptography's InvalidTag if it, or what it is about, was changed."""
    return ChaCha20Poly1305(_sealing(key)).decrypt(closed[:_NONCE], closed[_NONCE:], about.encode())


def _sealing(key: bytes) -> bytes:
    return hmac.digest(key, b"seal", hashlib.sha256)
