"""The terms of wishes and grants as the API shows them, beside those of `shapes`."""

from collections.abc import Sequence
from typing import Any

from huitong.model.policy import Comparison, Quota, SubjectRows, Terms
from huitong.model.sharing import Wish
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


def rules(found: Wish | Terms) -> JSON:
    """`condition`, `subjects`, `k` and `quota`, and of a wish its `linkage`: for the shapes of a wish and of a grant."""
    shown: JSON = {
        "condition": condition(found.condition),
        "subjects": subjects(found.subjects),
        "k": found.k,
        "quota": quota(found.quota),
    }
    return {**shown, "linkage": str(found.linkage)} if isinstance(found, Wish) else shown


def quota_use(found: QuotaUse | None) -> JSON | None:
    """How much of a quota is used."""
    if found is None:
        return None
    uses = [{"what": what, "used": used, "limit": limit} for what, (used, limit) in found.uses.items()]
    return {"period": found.period.value, "begins_anew": found.begins_anew, "uses": uses}
