"""What answers with noise spent, and what was told."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F

from huitong.portal.sharing import models as sharing


@dataclass(frozen=True)
class DjangoBudgetStore:
    """BudgetStore. What is taken is taken by one UPDATE that holds only while it is left, on either database."""

    using: str = "default"

    def spent(self, account: str) -> int:
        """Millionths of epsilon; 0 of an account that there is not."""
        found = sharing.NoisedBudget.objects.using(self.using).filter(account=account).values_list("spent", flat=True).first()
        return found or 0

    def take(self, account: str, amount: int, *, limit: int) -> bool:
        """Spend so much if at most `limit` is spent then."""
        accounts = sharing.NoisedBudget.objects.using(self.using)
        accounts.bulk_create([sharing.NoisedBudget(account=account)], ignore_conflicts=True)
        return accounts.filter(account=account, spent__lte=limit - amount).update(spent=F("spent") + amount) == 1

    def give_back(self, account: str, amount: int) -> None:
        """Take it off again."""
        sharing.NoisedBudget.objects.using(self.using).filter(account=account).update(spent=F("spent") - amount)

    def grants_before(self, grant_id: str) -> Sequence[str]:
        """The grants whose place it took, one after the other."""
        return [grant for grant, _ in self._chain(grant_id)]

    def offices_before(self, office: str, dataset: str) -> Collection[str]:
        """The offices that used the dataset under grants whose place those of this office took."""
        moved = sharing.Grant.objects.using(self.using).filter(using_office_id=office, dataset_id=dataset, moved_from__isnull=False)
        found = {one for grant in moved.values_list("id", flat=True) for _, one in self._chain(grant)}
        return found - {office}

    def answer(self, office: str, dataset: str, digest: str) -> bytes | None:
        """What was told, sealed."""
        rows = sharing.NoisedAnswer.objects.using(self.using).filter(office_id=office, dataset_id=dataset, digest=digest)
        found = rows.values_list("sealed", flat=True).first()
        return None if found is None else bytes(found)

    def keep(self, office: str, dataset: str, digest: str, sealed: bytes, *, at: datetime) -> None:
        """Keep it; what is kept already stays."""
        row = sharing.NoisedAnswer(office_id=office, dataset_id=dataset, digest=digest, at=at, sealed=sealed)
        sharing.NoisedAnswer.objects.using(self.using).bulk_create([row], ignore_conflicts=True)

    def _chain(self, grant_id: str) -> Sequence[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        grants = sharing.Grant.objects.using(self.using)
        at = grants.filter(id=grant_id).values_list("moved_from", flat=True).first()
        while at is not None and at not in [one for one, _ in found]:
            office, before = grants.filter(id=at).values_list("using_office_id", "moved_from").get()
            found.append((at, office))
            at = before
        return found
