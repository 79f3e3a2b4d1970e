"""Questions of totals that offices were answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from huitong.portal.sharing import models as sharing
from huitong.sharing.answered import AnsweredQuestion


@dataclass(frozen=True)
class DjangoQuestionStore:
    """QuestionStore. Claims of one office about one dataset go on one at a time: the rows of its grants are locked on PostgreSQL, and
    SQLite has one writer."""

    using: str = "default"

    def lock(self, office: str, dataset: str) -> None:
        """Let nobody else claim or keep questions of this office about this dataset until the transaction ends."""
        grants = sharing.Grant.objects.using(self.using).filter(using_office_id=office, dataset_id=dataset).order_by("id")
        list(grants.select_for_update(no_key=True).values_list("id", flat=True))

    def of(self, office: str, dataset: str) -> Sequence[AnsweredQuestion]:
        """All that are kept, claims too, in the order in which they came."""
        rows = sharing.AnsweredQuestion.objects.using(self.using).filter(office_id=office, dataset_id=dataset).order_by("id")
        return [
            AnsweredQuestion(
                query=row.query,
                office=row.office_id,
                dataset=row.dataset_id,
                grant=row.grant_id,
                digest=row.digest,
                snapshot=row.snapshot,
                at=row.at,
                sealed=bytes(row.sealed),
                answered=row.answered,
            )
            for row in rows
        ]

    def put(self, question: AnsweredQuestion) -> None:
        """Keep one more."""
        sharing.AnsweredQuestion.objects.using(self.using).create(
            query=question.query,
            office_id=question.office,
            dataset_id=question.dataset,
            grant_id=question.grant,
            digest=question.digest,
            snapshot=question.snapshot,
            at=question.at,
            sealed=question.sealed,
            answered=question.answered,
        )

    def settle(self, query: str) -> None:
        """It is answered, and takes the place of answered ones with its office, dataset and digest."""
        rows = sharing.AnsweredQuestion.objects.using(self.using)
        row = rows.get(query=query)
        same = rows.filter(office_id=row.office_id, dataset_id=row.dataset_id, digest=row.digest, answered=True)
        same.exclude(query=query).delete()
        rows.filter(query=query).update(answered=True)

    def remove(self, query: str) -> None:
        """It was not answered, or is forgotten."""
        sharing.AnsweredQuestion.objects.using(self.using).filter(query=query).delete()
