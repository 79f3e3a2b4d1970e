"""A reveal of re-identification, as a use like any other: a statement for the tokens that the grant shows, and the plan that puts the
identifier beside each.

The statement names the tokens; it goes through parse, resolve, authorise and rewrite, so that it finds a token only in rows that the
grant lets the office see, in the snapshot of now. Only then is the side table, which belongs to the verified plan already, joined once
more for the identifiers. A token of another linkage group, of another item, of a row that is not granted, or of nobody is not found, and
nobody can tell these apart."""

import secrets
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from huitong.engines.duckdb import quote_name
from huitong.errors import Refused
from huitong.gateway.plan import Plan
from huitong.gateway.rewrite.physical import LIST_COLUMNS, SIDE_COLUMNS
from huitong.model.party import Actor, Role
from huitong.model.reidentification import Revelation

Still = Callable[[], None]
"""Asked last before identifiers leave; raises if they may not."""

SCHEMA = pa.schema([("token", pa.int64()), ("identifier", pa.string()), ("seal", pa.string())])
"""What a reveal gives. `seal` is a random text, the same in every row: without it, whoever knows a token could find the identifier by
trying all of them against the hash of the result that stands in the ledger."""


def statement_of(asked: Revelation) -> str:
    """One SELECT for those of the tokens that the grant shows."""
    dataset = ".".join(quote_name(part) for part in asked.dataset.split("."))
    listed = ", ".join(str(token) for token in asked.tokens)
    item = quote_name(asked.item)
    return f"SELECT DISTINCT {item} FROM {dataset} WHERE {item} IN ({listed})"  # noqa: S608 - names of the catalogue, quoted; integers


def officer_as_user(actor: Actor) -> Actor:
    """The officer of a case may use its grant for the case, also one whose post as data officer may use no data otherwise: that the case
    was agreed to with this officer's name stands in the place of the role."""
    return replace(actor, roles=actor.roles | {Role.ANALYST})


def with_identifiers(plan: Plan, asked: Revelation) -> Plan:
    """The plan of the statement with the identifier beside each token it finds. Raises Refused `rewrite-failed` rather than guess."""
    read = {tuple(file.path for file in part.read.files) for part in plan.datasets}
    sides = [table for table in plan.tables if table.columns == SIDE_COLUMNS and table.files not in read]
    lists = [table for table in plan.tables if table.columns == LIST_COLUMNS and table.files not in read]
    if len(plan.datasets) != 1 or len(plan.tables) != 2 + len(lists) or len(sides) != 1:
        raise Refused.because("rewrite-failed")
    side, item = quote_name(sides[0].name), quote_name(asked.item)
    shown = f"({plan.sql}) AS found"
    joined = f"{side} AS s ON s.token = found.{item}"
    sql = f"SELECT s.token AS token, s.identifier AS identifier FROM {shown} INNER JOIN {joined}"  # noqa: S608 - the rewriter's own SQL
    return replace(plan, sql=sql)


def sealed(found: pa.Table, asked: Revelation) -> pa.Table:
    """A row for each token that was asked about, in order, with its identifier or none; under a fresh seal."""
    known = dict(zip(found.column("token").to_pylist(), found.column("identifier").to_pylist(), strict=True))
    seal = secrets.token_hex(32)
    tokens = sorted(set(asked.tokens))
    columns = [tokens, [known.get(token) for token in tokens], [seal] * len(tokens)]
    return pa.table(columns, schema=SCHEMA)
