"""The forms of the terms that a request may state beside items, division and last day: what comes in and what goes out."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from ninja import Field, Schema
from pydantic import ConfigDict, StrictInt, StringConstraints

from huitong.model.policy import MILLION, Comparator, Comparison, Mode, Quota, QuotaPeriod, ValueBounds
from huitong.sharing.noised import StatedNoise
from huitong.sharing.term_limits import term_limits

_LIMITS = term_limits()
_NO_NUL = r"^[^\x00]*$"
_Item = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]
_Value = Annotated[str, StringConstraints(max_length=_LIMITS.value_characters, pattern=_NO_NUL)]
_Identifier = Annotated[str, StringConstraints(min_length=1, max_length=_LIMITS.value_characters, pattern=_NO_NUL)]
_Limit = Annotated[StrictInt, Field(ge=1, le=_LIMITS.quota)]
_Number = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,8})?$")]
_Epsilon = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,3}(\.[0-9]{1,6})?$")]
"""A plain decimal with at most six decimals."""
LinkageName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,40}$")]
"""`purpose`, `alone`, or a group of the office's own."""


class _Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class ConditionIn(_Strict):
    """One comparison of an item; rows pass if all comparisons hold. A missing value passes none but `missing`."""

    item: _Item
    comparator: Comparator
    values: list[_Value] = Field(
        default_factory=list,
        max_length=_LIMITS.values,
        description="Text in the form of the item's type: `3000`, `2026-01-31`, `true`; `in` and `not-in` take several",
    )


class SubjectsIn(_Strict):
    """Only rows about these entities. The identifiers are kept apart; requests, grants and the ledger name the list by its hash."""

    item: _Item | None = Field(None, description="The item that holds the identifiers; without it the dataset's key item")
    identifiers: list[_Identifier] = Field(min_length=1, max_length=_LIMITS.subjects)


class QuotaIn(_Strict):
    """How much may be used in a period; what is left out is not limited."""

    period: QuotaPeriod
    rows: _Limit | None = None
    queries: _Limit | None = None
    calls: _Limit | None = None


class BoundsIn(_Strict):
    """Between which values an item counts in sums and means of noised totals; what lies outside counts as the nearer bound."""

    item: _Item
    lower: _Number
    upper: _Number


class NoisedIn(_Strict):
    """With `noised`: budgets of epsilon and what bounds the part of one entity; what is left out is as usual, or as it stands."""

    epsilon: _Epsilon | None = Field(None, description="What all answers under the grant may spend")
    together: _Epsilon | None = Field(None, description="What all answers to the office over the dataset may spend, whatever the grant")
    rows_per_entity: Annotated[StrictInt, Field(ge=1, le=_LIMITS.noised.most_rows_per_entity)] | None = None
    bounds: Annotated[list[BoundsIn], Field(max_length=_LIMITS.values)] | None = Field(
        None, description="Of each item that may be summed or averaged"
    )


Conditions = Annotated[list[ConditionIn], Field(max_length=_LIMITS.comparisons)]
GroupSize = Annotated[StrictInt, Field(ge=2, le=_LIMITS.most_k)]


class TermsIn(_Strict):
    """What a request may state beside items, division and last day."""

    condition: Conditions = Field(default_factory=list)
    subjects: SubjectsIn | None = None
    mode: Mode = Mode.ROWS
    k: GroupSize | None = Field(None, description="With `aggregate-only`: least number of entities of a group that is told")
    quota: QuotaIn | None = None
    noised: NoisedIn | None = Field(None, description="With `noised`")
    linkage: LinkageName = Field("purpose", description="`purpose`, `alone`, or the name of a group of your office")


class NarrowedIn(_Strict):
    """What a reviewer may state beside items, division and last day; comparisons are added to those asked for, the rest replaces it."""

    condition: Conditions | None = None
    subjects: SubjectsIn | None = None
    mode: Mode | None = None
    k: GroupSize | None = None
    quota: QuotaIn | None = None
    noised: NoisedIn | None = None
    linkage: LinkageName | None = None


class ConditionOut(Schema):
    """One comparison of an item."""

    item: str
    comparator: Comparator
    values: list[str]


class SubjectsOut(Schema):
    """A list of subjects: which item it goes by, how many it holds, its keyed hash. The identifiers are not given out."""

    item: str
    count: int
    digest: str


class QuotaOut(Schema):
    """How much may be used in a period; null: not limited."""

    period: QuotaPeriod
    rows: int | None
    queries: int | None
    calls: int | None


class BoundsOut(Schema):
    """Bounds of one item."""

    item: str
    lower: str
    upper: str


class NoisedOut(Schema):
    """Budgets of noised totals, in epsilon, and what bounds the part of one entity."""

    epsilon: str
    together: str
    rows_per_entity: int
    bounds: list[BoundsOut]


class BudgetUseOut(Schema):
    """How much of the budgets of a grant is spent, in epsilon: its own, and that of its office over the dataset."""

    epsilon: str
    spent: str
    together: str
    together_spent: str
    left: str


class UseOut(Schema):
    """How much of one limit is used, what runs now counted with all that it may still take."""

    what: str = Field(description="`rows`, `queries` or `calls`")
    used: int
    limit: int


class QuotaUseOut(Schema):
    """How much of a quota is used in the period that runs."""

    period: QuotaPeriod
    begins_anew: datetime | None = Field(description="When counting begins anew; null: never")
    uses: list[UseOut]


def condition_of(written: Sequence[ConditionIn]) -> tuple[Comparison, ...]:
    """As the core takes it. Raises InputInvalid `comparison-values`."""
    return tuple(Comparison(one.item, one.comparator, tuple(one.values)) for one in written)


def quota_of(written: QuotaIn | None) -> Quota | None:
    """As the core takes it. Raises InputInvalid `quota-empty`."""
    return None if written is None else Quota(written.period, rows=written.rows, queries=written.queries, calls=written.calls)


def epsilon_of(written: str | None) -> int | None:
    """Millionths of a plain decimal."""
    return None if written is None else int(Decimal(written) * MILLION)


def noise_of(written: NoisedIn | None) -> StatedNoise | None:
    """As the core takes it. Raises InputInvalid `noised-bounds-wrong`."""
    if written is None:
        return None
    bounds = None if written.bounds is None else tuple(ValueBounds(one.item, one.lower, one.upper) for one in written.bounds)
    return StatedNoise(epsilon_of(written.epsilon), epsilon_of(written.together), written.rows_per_entity, bounds)


def rules_in(body: TermsIn | NarrowedIn) -> dict[str, Any]:
    """The stated terms as keywords of `make_wish` and `narrow_wish`, but for the list of subjects, which has to be kept first."""
    return {
        "condition": None if body.condition is None else condition_of(body.condition),
        "mode": body.mode,
        "k": body.k,
        "quota": quota_of(body.quota),
        "noised": noise_of(body.noised),
        "linkage": body.linkage,
    }
