"""Calls with a key in a process of its own, which dies where it is told to.

    python keyed_process.py make HOME        makes an instance and prints the tokens of an analyst and an officer
    python keyed_process.py call HOME STEPS  STEPS: JSON, a list of [what, token, key, where]; prints what became of each

WHAT is request, load, or age (as if the call with that key had begun so long ago that it counts as given up). WHERE is nowhere, or
`before-keeping`, after the effect and before its answer is kept, or `after-keeping`, before the answer is sent (and, where effect and
answer are one transaction, before it is committed)."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from huitong.demo import province
from huitong.keystore import KEY_NAMES, FileKeyStore
from huitong.model.catalog import Sharing
from huitong.model.party import Role
from huitong.portal.wiring import migrate, open_platform, start_django, wall_clock
from huitong.settings import read_settings

DEAD = 77
DATASET = "geo.county_coordinates"


def make(home: Path) -> None:
    settings = read_settings(home=home)
    keystore = FileKeyStore(settings.keys)
    keystore.create(KEY_NAMES)
    migrate(settings)
    platform = open_platform(settings)
    from huitong.portal.accounts.actions import Accounts, NewPerson, instance_operator
    from huitong.portal.stores import Stores

    stores, operator = Stores(), instance_operator("test")
    accounts = Accounts(stores=stores, ledger=platform.ledger, keystore=keystore, clock=wall_clock)
    stores.divisions.put_divisions(province.divisions())
    accounts.register_offices([one for one in province.offices() if one.superior is None], by=operator)
    dataset = next(one for one in province.datasets() if one.id == DATASET)
    assert dataset.sharing is Sharing.UNCONDITIONAL
    people = [
        NewPerson("analyst", "Analyst", "gz-education", frozenset({Role.ANALYST})),
        NewPerson("officer", "Officer", dataset.provider, frozenset({Role.DATA_OFFICER})),
    ]
    accounts.register_people(people, by=operator)
    analyst, officer = (stores.parties.actors_of(name)[0] for name in ("analyst", "officer"))
    platform.catalog.publish(dataset, by=officer)
    tokens = [accounts.issue_token(one.post, by=operator, label="test", lifetime=timedelta(days=1)).text for one in (analyst, officer)]
    print(json.dumps(tokens))


def call(home: Path, steps: list[list[str]]) -> None:
    start_django(read_settings(home=home))
    from django.db.models import F

    from huitong.portal.api.idempotency import RULES
    from huitong.portal.audit.models import KeyedAnswer

    for what, token, key, where in steps:
        if what == "age":
            KeyedAnswer.objects.filter(key=key).update(at=F("at") - RULES.alive - timedelta(seconds=1))
        else:
            print(json.dumps(answer_of(home, what, token, key, where)), flush=True)


def answer_of(home: Path, what: str, token: str, key: str, where: str) -> dict[str, Any]:
    from django.test import Client

    from huitong.portal.keyed_answers import DjangoKeyedAnswers

    close = DjangoKeyedAnswers.close

    def dying(self: DjangoKeyedAnswers, *arguments: Any, **named: Any) -> bool:
        if where == "before-keeping":
            os._exit(DEAD)
        kept = close(self, *arguments, **named)
        if where == "after-keeping":
            os._exit(DEAD)
        return kept

    if where != "nowhere":
        DjangoKeyedAnswers.close = dying  # type: ignore[method-assign]
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": f'"{key}"'}
    if what == "request":
        item = next(one for one in province.datasets() if one.id == DATASET).items[0].name
        wish = {"dataset": DATASET, "purpose": "education", "legal_basis": "x", "items": [{"item": item}], "until": "2027-06-30"}
        response = Client().post("/api/v1/requests", wish, content_type="application/json", headers=headers)
    else:
        table = province.real_tables(home)[DATASET].read_bytes()
        response = Client().post(f"/api/v1/datasets/{DATASET}/snapshots", table, content_type="text/csv", headers=headers)
    kind = "requests" if what == "request" else f"datasets/{DATASET}/snapshots"
    listed = Client().get(f"/api/v1/{kind}", headers={"Authorization": f"Bearer {token}"})
    return {
        "status": response.status_code,
        "replayed": response.has_header("Idempotency-Replayed"),
        "code": response.json().get("code"),
        "effects": int(listed["Huitong-Total"]),
    }


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]))
    else:
        call(Path(sys.argv[2]), json.loads(sys.argv[3]))
