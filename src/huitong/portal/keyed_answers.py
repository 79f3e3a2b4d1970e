"""Keys of calls and the answers kept for them, on Django's ORM. What decides between two at once is the unique post and key."""

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from huitong.errors import Conflict
from huitong.model.keyed import KeptAnswer, KeyedCall, KeyRecord, KeyState
from huitong.portal.audit.models import KeyedAnswer


@dataclass(frozen=True)
class DjangoKeyedAnswers:
    """KeyedAnswers of the API."""

    using: str = "default"

    def begin(
        self, call: KeyedCall, *, whole: bool, now: datetime, kept_since: datetime, alive_since: datetime
    ) -> tuple[KeyRecord, bool]:
        """The record of the key, and whether this call is the one that runs now. Records from before `kept_since` are forgotten."""
        with transaction.atomic(using=self.using):
            self._rows().filter(at__lt=kept_since).delete()
            made = KeyedAnswer(
                post=call.post, key=call.key, content=call.content, attempt=1, whole=whole, state=KeyState.BEGUN.value, at=now
            )
            try:
                with transaction.atomic(using=self.using):
                    made.save(using=self.using, force_insert=True)
                return _record(made), True
            except IntegrityError:
                row = self._rows().filter(post=call.post, key=call.key).first()
            if row is None:  # forgotten between the two statements; the caller may ask again
                raise Conflict.because("idempotency-running", at=now.isoformat(timespec="seconds"))
            given_up = row.state == KeyState.BEGUN.value and row.whole and row.at < alive_since and row.content == call.content
            if given_up and self._rows().filter(id=row.id, attempt=row.attempt, state=KeyState.BEGUN.value).update(
                attempt=row.attempt + 1, at=now
            ):
                row.attempt, row.at = row.attempt + 1, now
                return _record(row), True
            return _record(row), False

    def close(self, call: KeyedCall, *, attempt: int, answer: KeptAnswer | None) -> bool:
        """Keep the answer; without one the call is broken. False if another call has taken over: then nothing is kept."""
        rows = self._begun(call, attempt)
        if answer is None:
            return bool(rows.update(state=KeyState.BROKEN.value))
        kept = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
        return bool(rows.update(state=KeyState.ANSWERED.value, **kept))

    def forget(self, call: KeyedCall, *, attempt: int) -> None:
        """The call had no effect: its key is free again."""
        self._begun(call, attempt).delete()

    def _begun(self, call: KeyedCall, attempt: int) -> QuerySet[KeyedAnswer]:
        return self._rows().filter(post=call.post, key=call.key, attempt=attempt, state=KeyState.BEGUN.value)

    def _rows(self) -> QuerySet[KeyedAnswer]:
        return KeyedAnswer.objects.using(self.using)


def _record(row: KeyedAnswer) -> KeyRecord:
    answer = None
    if row.status is not None and row.headers is not None and row.body is not None:
        answer = KeptAnswer(row.status, row.headers, bytes(row.body))
    return KeyRecord(
        content=row.content, attempt=row.attempt, whole=row.whole, state=KeyState(row.state), at=row.at, answer=answer
    )
