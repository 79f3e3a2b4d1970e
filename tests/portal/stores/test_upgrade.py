"""An instance of the release before is brought up to date: nothing is lost, and everything is found as before."""

from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from tests.portal.database_fixtures import database
from tests.portal.examples import CIVIL, DIVISIONS, HOUSEHOLDS, NOON
from tests.postgresql import Server

from huitong.catalog.ports import Facet
from huitong.portal.stores import Stores

BEFORE = [("accounts", "0001_start"), ("audit", "0002_never_changed"), ("catalog", "0001_start"), ("sharing", "0001_start")]


def fill_as_before(alias: str) -> None:
    """One office, one entry with its tokens, one snapshot of two files: as the release before wrote them."""
    apps = MigrationExecutor(connections[alias]).loader.project_state(BEFORE).apps

    def add(app: str, model: str, **columns: object) -> None:
        apps.get_model(app, model).objects.using(alias).create(**columns)

    for place in DIVISIONS:
        add("accounts", "Division", code=place.code, name=place.name, level=place.level.value, parent_id=place.parent,
            valid_from=place.valid_from)  # fmt: skip
    add("accounts", "Office", id=CIVIL.id, title_zh=CIVIL.title.zh, title_en=CIVIL.title.en, division_id=CIVIL.division,
        level=CIVIL.level.value, credit_code=CIVIL.credit_code)  # fmt: skip
    entry = HOUSEHOLDS
    assert entry.sharing_condition is not None
    add("catalog", "Dataset", id=entry.id, title_zh=entry.title.zh, title_en=entry.title.en, abstract_zh=entry.abstract.zh,
        abstract_en=entry.abstract.en, classification=entry.classification, provider_id=entry.provider, collector_id=entry.collector,
        sharing=entry.sharing.value, sharing_basis=entry.sharing_basis, sharing_condition_zh=entry.sharing_condition.zh,
        sharing_condition_en=entry.sharing_condition.en, openness=entry.openness.value, update_cycle=entry.update_cycle.value,
        published_on=entry.published_on, key_item=entry.key, division_item=entry.division_item, source=entry.source)  # fmt: skip
    for position, item in enumerate(entry.items):
        add("catalog", "Item", dataset_id=entry.id, position=position, name=item.name, title_zh=item.title.zh,
            title_en=item.title.en, type=item.type.value, grade=int(item.grade), meaning=item.meaning)  # fmt: skip
    for token, weight in {"低保": 8, "家庭": 3}.items():
        add("catalog", "SearchToken", dataset_id=entry.id, token=token, weight=weight)
    add("catalog", "Snapshot", dataset_id=entry.id, version=4, rows=20, taken_at=NOON, source_hash="b" * 64, rejected_rows=0)
    snapshot = apps.get_model("catalog", "Snapshot").objects.using(alias).get()
    for position in range(2):
        add("catalog", "SnapshotFile", snapshot=snapshot, position=position, path=f"f{position}", rows=10, bytes=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_an_instance_of_the_release_before_loses_nothing(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, django_db_blocker: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'control.sqlite3'}"
    if kind == "postgresql":
        server: Server = request.getfixturevalue("postgresql")
        server.run("DROP DATABASE IF EXISTS upgrade")
        server.run("CREATE DATABASE upgrade")
        url = server.url("upgrade")
    with django_db_blocker.unblock(), database("upgrade", url) as alias:
        for app, migration in BEFORE:
            call_command("migrate", app, migration, database=alias, verbosity=0)
        fill_as_before(alias)
        call_command("migrate", database=alias, verbosity=0)
        stores = Stores(alias)
        assert stores.catalog.dataset(HOUSEHOLDS.id) == HOUSEHOLDS
        assert stores.parties.office(CIVIL.id) == CIVIL
        assert [kept.files for kept in stores.records.snapshots()] == [2]
        for _ in range(2):
            page = stores.catalog.search(["低保", "家庭"], viewer=None, facets=[Facet.LEVEL, Facet.GRADE, Facet.MEANING])
            assert page.hits == (HOUSEHOLDS,)
            assert page.facets == {
                Facet.LEVEL: {"province": 1},
                Facet.GRADE: {"4": 1},
                Facet.MEANING: {"division-code": 1, "resident-id": 1},
            }
            stores.catalog.fold_search_index(at_least=1)
