"""The terms of wishes and grants as the API shows them, beside those of `shapes`."""

from collections.abc import Sequence
from typing import Any

from huitong.model.policy import Comparison, NoisedTerms, Quota, SubjectRows, Terms, epsilon_text
from huitong.model.sharing import Wish
from huitong.sharing.noised import BudgetUse
from huitong.sharing.quotas import QuotaUse

JSON = dict[str, Any]


def condition(found: Sequence[Comparison]) -> list[JSON]:
    """A condition."""
    return [{"item": one.item, "comparator": one.comparator.value, "values": list(one.values)} for one in found]


def subjects(found: SubjectRows | None) -> JSON | None:
    """A list of subjects, without where it is kept."""
    return None if found is None else {"item": found.item, "count": found.count, "digest": found.digest}


def quota(found: Quota | None) -> JSON | None:
    """A quota."""
    if found is None:
        return None
    return {"period": found.period.value, "rows": found.rows, "queries": found.queries, "calls": found.calls}


def noised(found: NoisedTerms | None) -> JSON | None:
    """Budgets and bounds of noised totals."""
    if found is None:
        return None
    bounds = [{"item": one.item, "lower": one.lower, "upper": one.upper} for one in found.bounds]
    budgets = {"epsilon": epsilon_text(found.epsilon), "together": epsilon_text(found.together)}
    return {**budgets, "rows_per_entity": found.rows_per_entity, "bounds": bounds}


def budget_use(found: BudgetUse | None) -> JSON | None:
    """How much of the budgets is spent."""
    if found is None:
        return None
    names = ("epsilon", "spent", "together", "together_spent", "left")
    return {name: epsilon_text(getattr(found, name)) for name in names}


def rules(found: Wish | Terms) -> JSON:
    """`condition`, `subjects`, `k`, `quota` and `noised`, and of a wish its `linkage`: for the shapes of a wish and of a grant."""
    shown: JSON = {
        "condition": condition(found.condition),
        "subjects": subjects(found.subjects),
        "k": found.k,
        "quota": quota(found.quota),
        "noised": noised(found.noised),
    }
    return {**shown, "linkage": str(found.linkage)} if isinstance(found, Wish) else shown


def quota_use(found: QuotaUse | None) -> JSON | None:
    """How much of a quota is used."""
    if found is None:
        return None
    uses = [{"what": what, "used": used, "limit": limit} for what, (used, limit) in found.uses.items()]
    return {"period": found.period.value, "begins_anew": found.begins_anew, "uses": uses}
