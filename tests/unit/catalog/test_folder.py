"""The catalogue as a folder of TOML: out, in again, and everything that a folder may hold by mistake."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.spec.sharing.world import ADOPTION, CIVIL, CIVIL_OFFICER, CIVIL_REVIEWER, EDUCATION, HOMES, LOW_INCOME, World, person, says_no

from huitong.catalog.folder import apply, apply_archive, export, limits
from huitong.catalog.plans import changed_fields
from huitong.catalog.toml import dumps
from huitong.errors import Conflict, InputInvalid, Refused
from huitong.model.catalog import Grade, Sharing, Visibility
from huitong.model.party import Role
from huitong.words import render

SCHOOLS = replace(HOMES, id="education.schools", provider=EDUCATION, collector=EDUCATION)
EDUCATION_OFFICER = person("qian", EDUCATION, Role.DATA_OFFICER)
SECRET = replace(
    ADOPTION, visibility=Visibility.NAMED, known_to=(), derived_from=("civil.homes",), related=("3-01-0102/000002",), keep_days=30
)


@pytest.fixture
def world() -> World:
    world = World().publish_all()
    world.catalog.publish(SECRET, by=CIVIL_OFFICER)
    world.catalog.publish(SCHOOLS, by=EDUCATION_OFFICER)
    world.ledger.written.clear()
    return world


def write(folder: Path, place: str, text: str | bytes) -> None:
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def faults(plan) -> dict[str, list[str]]:
    for left in plan.faults:
        for language in ("en", "zh-Hans"):
            assert render(left.reason, language) != left.reason.code and "{" not in render(left.reason, language)
    found: dict[str, list[str]] = {}
    for left in plan.faults:
        found.setdefault(left.place, []).append(left.reason.code)
    return found


def test_applying_an_export_changes_nothing(world: World, tmp_path: Path) -> None:
    assert export(world.catalog, tmp_path, viewer=CIVIL) == 4
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.toml")) == [
        f"{CIVIL}/civil.adoption.toml",
        f"{CIVIL}/civil.homes.toml",
        f"{CIVIL}/civil.low_income.toml",
        f"{EDUCATION}/education.schools.toml",
    ]
    plan = apply(world.catalog, tmp_path, by=CIVIL_OFFICER)
    assert plan.applied and sorted(plan.unchanged) == ["civil.adoption", "civil.homes", "civil.low_income"]
    assert not plan.added and not plan.changed and not plan.faults
    assert [left.place for left in plan.skipped] == [f"{EDUCATION}/education.schools.toml"], "another office's entry is told, not touched"
    assert world.ledger.written == []


def test_an_export_fills_an_empty_instance(world: World, tmp_path: Path) -> None:
    export(world.catalog, tmp_path, viewer=CIVIL, office=CIVIL)
    empty = World()
    plan = apply(empty.catalog, tmp_path, by=CIVIL_OFFICER)
    assert plan.applied and set(plan.added) == {"civil.adoption", "civil.homes", "civil.low_income"}
    assert empty.catalog.dataset("civil.adoption", viewer=CIVIL) == world.catalog.dataset("civil.adoption", viewer=CIVIL)


def test_an_export_holds_what_its_viewer_may_know(world: World, tmp_path: Path) -> None:
    assert export(world.catalog, tmp_path / "public", viewer=None) == 3
    assert export(world.catalog, tmp_path / "education", viewer=EDUCATION) == 3
    assert not list(tmp_path.rglob("civil.adoption.toml"))


def test_an_export_again_touches_only_what_changed(world: World, tmp_path: Path) -> None:
    export(world.catalog, tmp_path, viewer=CIVIL)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.toml")}
    moved = tmp_path / "old-office" / "civil.homes.toml"
    write(tmp_path, "old-office/civil.homes.toml", "left from before the office was succeeded")
    write(tmp_path, "old-office/notes.toml", "not an entry")
    world.catalog.publish(replace(HOMES, keep_days=5), by=CIVIL_OFFICER)
    export(world.catalog, tmp_path, viewer=CIVIL)
    after = {file: file.stat().st_mtime_ns for file in before}
    assert [file.name for file in before if before[file] != after[file]] == ["civil.homes.toml"]
    assert not moved.exists() and (tmp_path / "old-office" / "notes.toml").exists()


def test_what_would_change_is_told_before(world: World, tmp_path: Path) -> None:
    items = (replace(HOMES.items[0], grade=Grade.IMPORTANT), *HOMES.items[1:4])
    write(tmp_path, f"{CIVIL}/civil.homes.toml", dumps(replace(HOMES, keep_days=9, items=items)))
    write(tmp_path, f"{CIVIL}/civil.new.toml", dumps(replace(HOMES, id="civil.new", derived_from=("civil.homes",))))
    dry = apply(world.catalog, tmp_path, by=CIVIL_OFFICER, dry_run=True)
    assert (dry.applied, dry.added, dry.changed[0].dataset) == (False, ("civil.new",), "civil.homes")
    assert set(dry.changed[0].fields) == {"keep_days", "items.person_id.grade", "items.income"}
    assert world.ledger.written == [] and world.catalog.dataset("civil.homes").keep_days is None
    done = apply(world.catalog, tmp_path, by=CIVIL_OFFICER)
    assert done == replace(dry, applied=True)
    assert world.catalog.dataset("civil.homes").keep_days == 9 and len(world.ledger.written) == 2


def test_one_wrong_entry_keeps_all_out(world: World, tmp_path: Path) -> None:
    write(tmp_path, f"{CIVIL}/civil.homes.toml", dumps(replace(HOMES, keep_days=9)))
    write(tmp_path, f"{CIVIL}/civil.worse.toml", dumps(replace(HOMES, id="civil.worse", classification="none", collector="nobody")))
    draft = dumps(replace(HOMES, id="civil.draft")).replace("[[items]]", '[[items]]\nsuggested = "?"', 1)
    write(tmp_path, f"{CIVIL}/civil.draft.toml", draft)
    write(tmp_path, f"{CIVIL}/civil.else.toml", dumps(replace(HOMES, id="civil.other")))
    write(tmp_path, f"{CIVIL}/civil.latin.toml", "id = \"caf\xe9\"".encode("latin-1"))
    write(tmp_path, f"{CIVIL}/civil.large.toml", "#" * (limits()["bytes_of_a_file"] + 1))
    write(tmp_path, f"{CIVIL}/civil.deep.toml", "id = " + "[" * 100_000)
    write(tmp_path, "stray.toml", dumps(HOMES))
    (tmp_path / CIVIL / "civil.link.toml").symlink_to("/etc/hostname")
    (tmp_path / "linked").symlink_to(tmp_path / CIVIL)
    plan = apply(world.catalog, tmp_path, by=CIVIL_OFFICER)
    assert not plan.applied and world.ledger.written == []
    assert faults(plan) == {
        f"{CIVIL}/civil.worse.toml": ["office-unknown", "classification-invalid"],
        f"{CIVIL}/civil.draft.toml": ["entry-not-confirmed"],
        f"{CIVIL}/civil.else.toml": ["entry-misplaced"],
        f"{CIVIL}/civil.latin.toml": ["entry-not-utf8"],
        f"{CIVIL}/civil.large.toml": ["entry-too-large"],
        f"{CIVIL}/civil.deep.toml": ["entry-not-toml"],
        f"{CIVIL}/civil.link.toml": ["file-misplaced"],
        "stray.toml": ["file-misplaced"],
        "linked": ["file-misplaced"],
    }


def test_only_a_data_officer_applies(world: World, tmp_path: Path) -> None:
    export(world.catalog, tmp_path, viewer=CIVIL)
    with says_no(Refused, "role-missing"):
        apply(world.catalog, tmp_path, by=CIVIL_REVIEWER)
    with says_no(InputInvalid, "folder-unknown"):
        apply(world.catalog, tmp_path / "nowhere", by=CIVIL_OFFICER)


def test_nothing_is_written_through_a_link(world: World, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CIVIL).symlink_to(elsewhere)
    with says_no(Conflict, "export-over-a-link"):
        export(world.catalog, tmp_path / "out", viewer=CIVIL)
    assert not list(elsewhere.iterdir())


def zipped(files: dict[str, str]) -> io.BytesIO:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    made.seek(0)
    return made


def test_an_archive_and_a_list_do_the_same(world: World) -> None:
    changed = replace(HOMES, sharing=Sharing.UNCONDITIONAL, keep_days=4)
    place = f"{CIVIL}/civil.homes.toml"
    plan = apply_archive(world.catalog, zipped({place: dumps(changed)}), by=CIVIL_OFFICER, dry_run=True)
    assert plan.changed[0].fields == ("keep_days",)
    assert world.catalog.apply([changed], by=CIVIL_OFFICER, dry_run=True) == plan
    with says_no(InputInvalid, "entry-twice"):
        world.catalog.apply([changed, changed], by=CIVIL_OFFICER)
    with says_no(InputInvalid, "classification-invalid"):
        world.catalog.apply([changed, replace(ADOPTION, classification="none")], by=CIVIL_OFFICER, dry_run=True)
    listed = world.catalog.apply([changed, SCHOOLS], by=CIVIL_OFFICER)
    assert listed.applied and [left.dataset for left in listed.skipped] == [SCHOOLS.id]
    assert len(world.ledger.written) == 1
    climbing = apply_archive(world.catalog, zipped({"../../etc/civil.homes.toml": dumps(changed)}), by=CIVIL_OFFICER)
    assert faults(climbing) == {"../../etc/civil.homes.toml": ["entry-misplaced"]}


def test_a_bomb_is_cut_off_while_it_unpacks(world: World) -> None:
    bomb = zipped({f"{CIVIL}/civil.n{number}.toml": "#" * (limits()["bytes_of_a_file"] + 5) for number in range(70)})
    assert len(bomb.getvalue()) < 200_000
    with says_no(InputInvalid, "archive-too-large"):
        apply_archive(world.catalog, bomb, by=CIVIL_OFFICER)
    with says_no(InputInvalid, "archive-not-zip"):
        apply_archive(world.catalog, io.BytesIO(b"PK but no more"), by=CIVIL_OFFICER)


def test_order_of_items_is_a_change_too() -> None:
    turned = replace(LOW_INCOME, items=LOW_INCOME.items[::-1])
    assert changed_fields(LOW_INCOME, turned) == ("items",)
    assert changed_fields(LOW_INCOME, LOW_INCOME) == ()
