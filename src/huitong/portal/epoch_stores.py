"""Key epochs of linkage groups."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Max

from huitong.errors import Conflict
from huitong.model.pseudonym import FIRST, KeyEpoch
from huitong.portal.sharing import models as sharing


@dataclass(frozen=True)
class DjangoEpochStore:
    """EpochStore of sharing and Epochs of the lake."""

    using: str = "default"

    def of_group(self, linkage_group: str, /) -> KeyEpoch | None:
        """The epoch in force; None if none was noted."""
        row = sharing.KeyEpoch.objects.using(self.using).filter(linkage_group=linkage_group).order_by("-number").first()
        return None if row is None else _epoch(row)

    def epochs(self, linkage_group: str | None = None) -> Sequence[KeyEpoch]:
        """All that were noted, by group and number."""
        rows = sharing.KeyEpoch.objects.using(self.using).order_by("linkage_group", "number")
        return [_epoch(row) for row in (rows if linkage_group is None else rows.filter(linkage_group=linkage_group))]

    def newest_key(self) -> int:
        """The highest number of a master key that an epoch names; 1 if none does."""
        found = sharing.KeyEpoch.objects.using(self.using).aggregate(newest=Max("key"))["newest"]
        return FIRST if found is None else int(found)

    def add(self, epoch: KeyEpoch) -> None:
        """Note one, inside the caller's transaction. Raises Conflict `key-epoch-moved`."""
        told = {"linkage_group": epoch.linkage_group, "number": epoch.number, "key": epoch.key, "began_at": epoch.began_at}
        try:
            with transaction.atomic(using=self.using):
                sharing.KeyEpoch.objects.using(self.using).create(**told)
        except IntegrityError:
            raise Conflict.because("key-epoch-moved", group=epoch.linkage_group, number=epoch.number) from None


def _epoch(row: sharing.KeyEpoch) -> KeyEpoch:
    return KeyEpoch(row.linkage_group, row.number, row.key, row.began_at)
