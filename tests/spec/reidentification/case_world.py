"""A grant that shows the identity number as a pseudonym, its officer, four reviewers, and a lookup that remembers what it was asked."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from tests.spec.sharing.world import (
    CIVIL,
    CIVIL_OFFICER,
    CIVIL_REVIEWER,
    EDUCATION,
    HOMES,
    MEDICAL,
    MEDICAL_ANALYST,
    MEDICAL_COLLEAGUE,
    TIME_ZONE,
    World,
    person,
)

from huitong.errors import HuitongError
from huitong.gateway.reveal import SCHEMA
from huitong.model.party import Actor, Role
from huitong.model.policy import Grant
from huitong.model.query import Answer
from huitong.model.reidentification import Reidentification, Revelation
from huitong.sharing.reidentification import ReidentificationActions

OFFICER = MEDICAL_ANALYST
"""Who signed the grant for its purpose."""
COLLEAGUE = MEDICAL_COLLEAGUE
MEDICAL_DATA_OFFICER = person("qian", MEDICAL, Role.DATA_OFFICER)
FIRST_REVIEWER = CIVIL_REVIEWER
SECOND_REVIEWER = person("he", CIVIL, Role.REVIEWER)
ON_BOTH_SIDES = person("gao", CIVIL, Role.REVIEWER)
"""Reviews for civil affairs and holds a post at medical security too."""
ON_BOTH_SIDES_THERE = person("gao", MEDICAL, Role.ANALYST)
OFFICER_ELSEWHERE = person("li", EDUCATION, Role.ANALYST, Role.DATA_OFFICER)
"""The officer in another post, of another office."""
OTHER_OFFICE = person("zhao", EDUCATION, Role.ANALYST, Role.REVIEWER, Role.DATA_OFFICER)
OPERATOR = person("shi", EDUCATION, Role.OPERATOR)
CIVIL_ANALYST = person("bai", CIVIL, Role.ANALYST)

BASIS = "社会救助暂行办法第九条"
CASE = "毕节市赫章县 张某某户 2026-118"
WHY = "大雪封山前须入户，户主 522427196501012345 行动不便"
IDENTIFIERS = {11: "990102199001011230", 22: "990102198505052341"}
"""What stands behind the tokens that the grant shows."""


@dataclass
class Lookup:
    """Revealer: the answer of the gateway, without the gateway."""

    now: Callable[[], datetime]
    asked: list[Revelation] = field(default_factory=list)
    meanwhile: Callable[[], Any] = lambda: None
    fails_with: HuitongError | None = None

    def reveal(self, asked: Revelation, *, actor: Actor, still: Callable[[], None]) -> Answer:
        self.asked.append(asked)
        if self.fails_with is not None:
            raise self.fails_with
        self.meanwhile()
        still()
        columns = [list(asked.tokens), [IDENTIFIERS.get(token) for token in asked.tokens], ["s" * 64] * len(asked.tokens)]
        number = f"q-{len(self.asked)}"
        return Answer(query=number, table=pa.table(columns, schema=SCHEMA), receipt={"query": number})


class CaseWorld(World):
    """The province of the tests of sharing, with a prepared grant of civil affairs to medical security."""

    def __init__(self) -> None:
        super().__init__()
        self.publish_all()
        for one in (OFFICER, COLLEAGUE, MEDICAL_DATA_OFFICER, CIVIL_OFFICER, FIRST_REVIEWER, SECOND_REVIEWER, CIVIL_ANALYST,
                    ON_BOTH_SIDES, ON_BOTH_SIDES_THERE, OTHER_OFFICE, OPERATOR, OFFICER_ELSEWHERE):  # fmt: skip
            self.stores.parties.put_actor(one)
        self.sharing.take_snapshot(self.snapshot(HOMES, 1), by=CIVIL_OFFICER)
        granted = self.sharing.grant_of(self.ask(HOMES, "person_id", "village", by=OFFICER))
        assert granted is not None
        self.grant = self.sharing.prepare(granted.id)
        self.lookup = Lookup(self.clock)
        self.cases = ReidentificationActions(
            catalog=self.stores.catalog,
            parties=self.stores.parties,
            sharing=self.stores.sharing,
            transactions=self.stores.transactions,
            epoch=self.stores.epoch,
            ledger=self.ledger,
            divisions=self.divisions,
            side_tables=self.stores.side_tables,
            clock=self.clock,
            time_zone=TIME_ZONE,
            notices=self.stores.notices,
            pseudonym_epochs=self.stores.pseudonym_epochs,
            cases=self.stores.reidentifications,
            tokens=self.stores.reidentifications,
            revealer=self.lookup,
            hash_key=b"k" * 32,
        )
        self.ledger.written.clear()

    def grant_with(self, **terms: Any) -> Grant:
        """Another grant like the one of the tests, but for some of its terms."""
        other = replace(self.grant, id="G-2026-000900", terms=replace(self.grant.terms, **terms))
        with self.stores.atomic():
            self.stores.sharing.add_grant(other)
        return other

    def open_case(self, *tokens: int, by: Actor = OFFICER, grant: Grant | None = None, **other: Any) -> Reidentification:
        """Ask for one case."""
        values: dict[str, Any] = {"case": CASE, "legal_basis": BASIS, "why": WHY, "days": 7, "reveals": 2, **other}
        return self.cases.ask((grant or self.grant).id, tokens=tokens or (11, 22), by=by, **values)

    def agreed_case(self, *tokens: int, **other: Any) -> Reidentification:
        """Ask, and let both reviewers agree."""
        found = self.open_case(*tokens, **other)
        self.cases.approve(found.id, by=FIRST_REVIEWER)
        return self.cases.approve(found.id, by=SECOND_REVIEWER)

    def kept_tokens(self, found: Reidentification) -> tuple[int, ...]:
        """What is still kept of the tokens."""
        return self.stores.reidentifications.tokens_of(found.id)

    def leaves(self, actor: Actor) -> None:
        """The person holds this post no more."""
        self.stores.parties._actors.pop((actor.person, actor.post))

    def told(self, answer: Answer) -> dict[int, str | None]:
        """Token and identifier."""
        return {row["token"]: row["identifier"] for row in answer.table.to_pylist()}


def after_new_year() -> datetime:
    """When the grant of the tests has ended."""
    return datetime(2027, 1, 2, tzinfo=UTC)
