"""Staff mode: an operator's post has the role of operator only while its holder has opened it, with words why, and for a time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from huitong.errors import Conflict, InputInvalid, Refused
from huitong.ledger.literals import Literal
from huitong.model.ledger import EntryKind
from huitong.model.party import Actor, Role
from huitong.portal.accounts.base import PERSON
from huitong.portal.accounts.models import PostRole, StaffMode
from huitong.portal.accounts.second import SecondFactors


@dataclass(frozen=True)
class StaffStatus:
    """Whether staff mode is open for a post."""

    post: str
    may_open: bool
    """Whether the post is an operator's at all."""
    open: bool
    words: str | None = None
    opened_at: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Staff(SecondFactors):
    """Opening, closing and looking."""

    def staff_status(self, *, by: Actor) -> StaffStatus:
        """Of the actor's own post."""
        may = self._rows(PostRole).filter(post_id=by.post, role=Role.OPERATOR.value, post__ended_at=None).exists()
        row = self._rows(StaffMode).filter(post_id=by.post, closed_at=None, until__gt=self.clock()).first() if may else None
        if row is None:
            return StaffStatus(by.post, may, False)
        return StaffStatus(by.post, may, True, row.words, row.opened_at, row.until)

    def open_staff(
        self,
        *,
        by: Actor,
        words: str,
        minutes: int | None = None,
        code: str | None = None,
        proven: bool = False,
        address: str = "",
    ) -> StaffStatus:
        """The post has the role of operator from now on, for so many minutes. `code` is a fresh one of the second factor; `proven` says
        that a passkey was shown in this very call.

        Raises InputInvalid `staff-words-missing`, `staff-minutes-invalid`; Refused `staff-not-operator`, `second-factor-missing`,
        `second-factor-needed`, `second-factor-wrong`, `tries-too-many`; Conflict `staff-already-open`."""
        longest = int(self.staff_rules.longest.total_seconds() // 60)
        lasting = self.staff_rules.usual if minutes is None else timedelta(minutes=minutes)
        if not words.strip():
            raise InputInvalid.because("staff-words-missing")
        if not timedelta(0) < lasting <= self.staff_rules.longest:
            raise InputInvalid.because("staff-minutes-invalid", minutes=minutes or 0, longest=longest)
        row = self._open_post(by.post)
        if row.account.username != by.person or not row.roles.filter(role=Role.OPERATOR.value).exists() or row.account.kind != PERSON:
            raise Refused.because("staff-not-operator", post=by.post)
        if self.staff_status(by=by).open:
            raise Conflict.because("staff-already-open", post=by.post)
        self._prove(by.person, code=code, proven=proven, address=address)
        with self._change():
            now = self.clock()
            self._end_stale(by.post)
            if self._rows(StaffMode).filter(post_id=by.post, closed_at=None).exists():
                raise Conflict.because("staff-already-open", post=by.post)
            made = self._rows(StaffMode).create(post=row, words=words.strip(), opened_at=now, until=now + lasting)
            body = {
                "person": by.person,
                "post": by.post,
                "office": row.office_id,
                "words": Literal(made.words),
                "until": made.until.isoformat(),
            }
            self.ledger.append(kind=EntryKind.STAFF_OPENED, body=body)
        return StaffStatus(by.post, True, True, made.words, made.opened_at, made.until)

    def close_staff(self, *, by: Actor) -> StaffStatus:
        """The role is gone from now on. Raises Conflict `staff-not-open`."""
        with self._change():
            now = self.clock()
            if not self._rows(StaffMode).filter(post_id=by.post, closed_at=None, until__gt=now).update(closed_at=now):
                raise Conflict.because("staff-not-open", post=by.post)
            self.ledger.append(kind=EntryKind.STAFF_CLOSED, body={"person": by.person, "post": by.post, "by": by.person})
        return StaffStatus(by.post, True, False)

    def _end_stale(self, post: str) -> None:
        """What ended by the clock is noted as ended then; its end stands in the entry that opened it."""
        for row in self._rows(StaffMode).filter(post_id=post, closed_at=None, until__lte=self.clock()):
            self._rows(StaffMode).filter(id=row.id).update(closed_at=row.until)

    def _prove(self, person: str, *, code: str | None, proven: bool, address: str) -> None:
        has = self.second_factor(person).any
        if not has and Role.OPERATOR in self.sign_in_rules.needs_second_factor:
            raise Refused.because("second-factor-missing", role=Role.OPERATOR.value)
        if has and not proven:
            if not code:
                raise Refused.because("second-factor-needed")
            self.check_code(person, code, address=address)
