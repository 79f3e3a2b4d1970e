"""The key epochs of linkage groups: renewing the tokens of a group, all at once for every grant of it.

The tables of the next epoch are built beside those in force, outside any transaction; then one transaction notes the epoch, with its
ledger entry, and from its commit on every process gives the new tokens. A renewal that was interrupted leaves tables that nobody reads; the
next one goes on with them. What an office has kept of the old tokens fits nothing any more: that is the purpose."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from huitong.errors import InputInvalid, NotFound
from huitong.model.catalog import Snapshot
from huitong.model.ledger import EntryKind
from huitong.model.notice import NoticeKind
from huitong.model.policy import Grant, GrantState
from huitong.model.pseudonym import FIRST, KeyEpoch, RenewalCause
from huitong.sharing.parts import SharingParts
from huitong.sharing.terms import pseudonym_items

_STANDING = (GrantState.ACTIVE, GrantState.PREPARING)

Progress = Callable[[int, int | None], None]
"""Told how many tables were built, of how many."""


@dataclass(frozen=True)
class GroupEpoch:
    """A linkage group whose grants show pseudonyms, its epoch in force, and those grants."""

    epoch: KeyEpoch
    grants: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class PseudonymActions(SharingParts):
    """The verbs of key epochs: an operator's."""

    make_key: Callable[[int], object]
    """Makes the master key of that number if it is not there yet; on the disk before it returns."""

    def groups(self) -> Sequence[GroupEpoch]:
        """Every linkage group with a grant in force, or being prepared, that shows pseudonyms, by name."""
        found: dict[str, list[str]] = {}
        for grant in self._showing(grant for state in _STANDING for grant in self.sharing.grants_in_state(state, limit=None)):
            found.setdefault(grant.terms.linkage_group, []).append(grant.id)
        return [GroupEpoch(self.key_epoch(group), tuple(grants)) for group, grants in sorted(found.items())]

    def renew(
        self, linkage_group: str, *, by: Mapping[str, str], cause: RenewalCause, key: int | None = None, progress: Progress | None = None
    ) -> KeyEpoch:
        """Give every identifier of the group another token; the epoch that began. `by` says in the ledger who does it. `key` is the
        number of the master key (None: the newest); one that is not there yet is made.

        Raises NotFound `pseudonym-group-unknown`, InputInvalid `pseudonym-key-older`, and what building the tables raises, which leaves
        the epoch in force as it was."""
        newest = self.pseudonym_epochs.newest_key()
        number = newest if key is None else key
        if not newest <= number <= newest + 1:
            raise InputInvalid.because("pseudonym-key-older", key=number, newest=newest)
        self.make_key(number)
        while True:
            before, wanted = self.key_epoch(linkage_group), self._wanted(linkage_group)
            if not wanted:
                raise NotFound.because("pseudonym-group-unknown", group=linkage_group)
            after = KeyEpoch(linkage_group, before.number + 1, number)
            for done, ((dataset_id, item), snapshot) in enumerate(sorted(wanted.items()), 1):
                if snapshot is not None:
                    self.side_tables.build(linkage_group, self._dataset(dataset_id), item, snapshot, epoch=after)
                if progress is not None:
                    progress(done, len(wanted))
            with self._change():
                if (self.key_epoch(linkage_group), self._wanted(linkage_group)) != (before, wanted):
                    continue
                return self._begin(before, after, by=by, cause=cause)

    def leave_key(self, key: int, *, by: Mapping[str, str], progress: Progress | None = None) -> Sequence[KeyEpoch]:
        """Renew every group whose tokens come from that master key, which may be known to others, under a newer one; the epochs that
        began. Repeating it goes on where it was interrupted. Raises NotFound `pseudonym-key-unused`, and as `renew` does."""
        with self._change():  # from now on no group takes its key from the rule for groups that were never noted
            for one in self.groups():
                if self.pseudonym_epochs.of_group(one.epoch.linkage_group) is None:
                    self.pseudonym_epochs.add(one.epoch)
        newest = self.pseudonym_epochs.newest_key()
        target = newest if newest > key else key + 1
        groups = [one.epoch.linkage_group for one in self.groups() if one.epoch.key == key]
        if not groups:
            raise NotFound.because("pseudonym-key-unused", key=key)
        began = []
        for done, group in enumerate(groups, 1):
            began.append(self.renew(group, by=by, cause=RenewalCause.KEY_LEAKED, key=target))
            if progress is not None:
                progress(done, len(groups))
        return began

    def sweep(self) -> int:
        """Remove the tables of epochs that are over; of how many something is still being read. For the worker."""
        left = 0
        for group in {epoch.linkage_group for epoch in self.pseudonym_epochs.epochs()}:
            for over in self._over(group):
                left += not self.side_tables.retire(over)
        return left

    # Inside

    def _begin(self, before: KeyEpoch, after: KeyEpoch, *, by: Mapping[str, str], cause: RenewalCause) -> KeyEpoch:
        """Inside the transaction: the epoch is noted, written to the ledger and told to both sides of each grant."""
        grants = self._showing(self.sharing.grants_of_group(after.linkage_group))
        body = {
            "linkage_group": after.linkage_group,
            "number": after.number,
            "key": after.key,
            "before": before.number,
            "before_key": before.key,
            "cause": cause.value,
            "grants": [grant.id for grant in grants],
        }
        promise = self.ledger.append(kind=EntryKind.PSEUDONYMS_RENEWED, body={**body, **by})
        began = KeyEpoch(after.linkage_group, after.number, after.key, promise.at)
        if self.pseudonym_epochs.of_group(before.linkage_group) is None:
            self.pseudonym_epochs.add(before)
        self.pseudonym_epochs.add(began)
        for grant in grants:
            self._tell_of_grant(NoticeKind.PSEUDONYMS_RENEWED, grant, provider=True)
        return began

    def _showing(self, grants: Iterable[Grant]) -> Sequence[Grant]:
        """Those in force or being prepared that show pseudonyms."""
        now = self.clock()
        return [one for one in grants if one.state in _STANDING and now < one.terms.valid_until and pseudonym_items(one.terms)]

    def _wanted(self, linkage_group: str) -> Mapping[tuple[str, str], Snapshot | None]:
        """Each dataset and item that the group's grants show as pseudonyms, with the snapshot in force."""
        return {
            (grant.dataset, item): self.catalog.current_snapshot(grant.dataset)
            for grant in self._showing(self.sharing.grants_of_group(linkage_group))
            for item in pseudonym_items(grant.terms)
        }

    def _over(self, linkage_group: str) -> Sequence[KeyEpoch]:
        """The epochs of the group that are over, and those that a renewal under an earlier key began to build and never noted."""
        noted = self.pseudonym_epochs.epochs(linkage_group)
        unfinished = [replace(one, key=key) for one in noted for key in range(FIRST, one.key)]
        return [*noted[:-1], *unfinished]
