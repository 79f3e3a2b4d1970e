"""The demo province: who and what there is, and that every part refers to one that exists."""

from importlib.resources import files

import pytest

from huitong import data
from huitong.catalog.checks import faults_of_entry, sources_of
from huitong.demo import datasets, divisions, offices, people, real_tables
from huitong.demo.province import organisation_check_character
from huitong.demo.province_tables import spoken_name
from huitong.demo.registers import registers
from huitong.model.catalog import ItemType, Openness, Sharing, Visibility
from huitong.model.codes import is_credit_code
from huitong.model.party import DivisionLevel, Role
from huitong.policy.grading import floor_faults

KEY_LINES = {
    "civil-affairs", "medical-security", "education", "human-resources", "agriculture", "health", "emergency", "big-data",
}  # fmt: skip


def test_the_divisions_are_those_of_guizhou() -> None:
    count = {level: sum(division.level is level for division in divisions()) for level in DivisionLevel}
    assert count == {
        DivisionLevel.PROVINCE: 1,
        DivisionLevel.CITY: 9,
        DivisionLevel.COUNTY: 88,
        DivisionLevel.TOWNSHIP: 1510,
        DivisionLevel.VILLAGE: 17964,
    }


def test_provincial_offices_are_many_and_bilingual() -> None:
    provincial = [office for office in offices() if office.level is DivisionLevel.PROVINCE]
    assert len(provincial) >= 20
    assert all("贵州省" in office.title.zh and "Guizhou" in office.title.en for office in provincial)
    assert "gz-big-data" in {office.id for office in provincial}


def test_every_city_and_county_has_the_key_lines_of_work() -> None:
    ids = {office.id for office in offices()}
    for division in divisions():
        if division.level in (DivisionLevel.CITY, DivisionLevel.COUNTY):
            assert {f"{division.code[:6]}-{line}" for line in KEY_LINES} <= ids


def test_each_office_below_has_its_superior_one_level_up_listed_before_it() -> None:
    seen = {}
    for office in offices():
        if office.level is not DivisionLevel.PROVINCE:
            superior = seen[office.superior]
            assert (superior.level, office.level) in {
                (DivisionLevel.PROVINCE, DivisionLevel.CITY),
                (DivisionLevel.CITY, DivisionLevel.COUNTY),
            }
        seen[office.id] = office
    assert seen["520324-civil-affairs"].title.en == "Zheng'an County Civil Affairs Bureau"
    assert seen["520324-civil-affairs"].superior == "520300-civil-affairs"


def test_credit_codes_are_correct_distinct_and_nobodys() -> None:
    codes = [office.credit_code for office in offices()]
    assert len(set(codes)) == len(codes)
    for code in codes:
        assert is_credit_code(code)
        assert code[2:4] == "99"
        assert organisation_check_character(code[8:16]) == code[16]


@pytest.mark.parametrize(
    ("registered", "spoken"),
    [
        ("飞轮村村民委员会", "飞轮村"),
        ("银龙社区居民委员会", "银龙社区"),
        ("安村村委会", "安村"),
        ("长冲村委会", "长冲村"),
        ("甲秀楼社区", "甲秀楼社区"),
    ],
)
def test_addresses_name_villages_without_their_committees(registered, spoken) -> None:
    assert spoken_name(registered) == spoken


def test_people_hold_posts_in_offices_that_exist() -> None:
    ids = {office.id for office in offices()}
    accounts = [person.account for person in people()]
    assert len(set(accounts)) == len(accounts)
    for person in people():
        assert person.posts
        for office, roles in person.posts:
            assert office in ids
            assert roles


def test_there_is_a_regulator_an_operator_and_somebody_with_two_posts() -> None:
    posts = [(office, role) for person in people() for office, roles in person.posts for role in roles]
    assert ("gz-big-data", Role.REGULATOR) in posts
    assert sum(role is Role.OPERATOR for _, role in posts) == 1
    assert any(len(person.posts) > 1 for person in people())
    levels = {office.id: office.level for office in offices()}
    assert any(role is Role.ANALYST and levels[office] is DivisionLevel.COUNTY for office, role in posts)


def test_every_providing_office_has_a_data_officer_and_a_reviewer() -> None:
    posts = {(office, role) for person in people() for office, roles in person.posts for role in roles}
    for dataset in datasets():
        assert (dataset.provider, Role.DATA_OFFICER) in posts
        assert (dataset.provider, Role.REVIEWER) in posts


def test_the_poverty_theme_has_34_items_from_15_offices_adding_up_to_203_million() -> None:
    made = [register for register in registers() if register.share]
    assert len(made) == 34
    assert len({register.dataset.provider for register in made}) == 15
    assert sum(register.share for register in made) == 203_000


@pytest.mark.parametrize("dataset", datasets(), ids=lambda dataset: dataset.id)
def test_each_entry_may_be_published_as_it_is(dataset) -> None:
    known = {office.id: office for office in offices()}
    entries = {one.id: one for one in datasets()}
    sources = {name: entries[name] for name in sources_of(dataset)}
    assert faults_of_entry(dataset, known, sources=sources, floors=floor_faults) == ()
    assert dataset.source
    for item in dataset.items:
        if item.meaning == "money-fen":
            assert item.type is ItemType.INTEGER
        if item.meaning in ("resident-id", "division-code", "household-id", "credit-code", "phone"):
            assert item.type is ItemType.TEXT


def test_sharing_is_mixed_and_what_is_not_shared_says_by_which_law() -> None:
    kinds = {sharing: [dataset for dataset in datasets() if dataset.sharing is sharing] for sharing in Sharing}
    assert len(kinds[Sharing.UNCONDITIONAL]) >= 4
    assert len(kinds[Sharing.CONDITIONAL]) > len(datasets()) / 2
    assert len(kinds[Sharing.NOT_SHARED]) >= 2
    for dataset in kinds[Sharing.NOT_SHARED]:
        assert "法》第" in dataset.sharing_basis
        assert "scenario" in dataset.sharing_basis
        assert dataset.openness is Openness.NOT_OPEN


def test_real_tables_are_written_as_csv_that_fits_their_entries(tmp_path) -> None:
    tables = real_tables(tmp_path / "real")
    entries = {dataset.id: dataset for dataset in datasets()}
    lines = {name: path.read_text("utf-8").splitlines() for name, path in tables.items()}
    assert {name: len(found) - 1 for name, found in lines.items()} == {
        "geo.division": 19_572,
        "geo.county_coordinates": 88,
        "weather.hourly_other_provinces": 5 * 365 * 24,
    }
    for name, found in lines.items():
        assert found[0].split(",") == [item.name for item in entries[name].items]


def test_the_weather_says_that_it_is_not_of_guizhou(tmp_path) -> None:
    entry = next(dataset for dataset in datasets() if dataset.id == "weather.hourly_other_provinces")
    assert "不含贵州" in entry.abstract.zh
    assert "none in Guizhou" in entry.abstract.en
    assert "CC BY 4.0" in (entry.source or "")
    codes = {line.split(",")[1] for line in data.read_text(data.WEATHER).splitlines()[1:]}
    assert codes == {"110000000000", "310000000000", "440100000000", "510100000000", "210100000000"}


def test_data_files_are_small_and_each_stands_in_licences() -> None:
    licences = (files("huitong.data") / "LICENCES.md").read_text("utf-8")
    for file in files("huitong.data").iterdir():
        if file.name.endswith((".csv", ".gz")):
            assert len(file.read_bytes()) < 1_000_000
            assert f"`{file.name}`" in licences


def test_some_entries_are_not_known_to_everyone() -> None:
    by_visibility = {kind: [one for one in datasets() if one.visibility is kind] for kind in Visibility}
    assert by_visibility[Visibility.OFFICES] and by_visibility[Visibility.NAMED]
    for one in by_visibility[Visibility.NAMED]:
        assert one.known_to and not one.is_known_to("gz-education") and not one.is_known_to(None)


def test_what_an_entry_was_made_of_stands_before_it() -> None:
    """So that publishing them one by one, in their order, goes through."""
    seen: set[str] = set()
    for dataset in datasets():
        assert set(sources_of(dataset)) <= seen
        seen.add(dataset.id)
    assert any(dataset.derived_from for dataset in datasets())


def test_related_codes_are_those_of_other_entries() -> None:
    codes = {dataset.classification for dataset in datasets()}
    assert len(codes) == len(datasets())
    assert all(set(dataset.related) <= codes - {dataset.classification} for dataset in datasets())


def test_primary_keys_tell_rows_apart_in_the_tables_as_they_are(tmp_path) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    from huitong.demo.generator import generate

    keyed = {one.id: list(one.primary_key) for one in datasets() if one.primary_key}
    files = dict(real_tables(tmp_path / "real"))
    made = [register.dataset.id for register in registers() if register.share and register.dataset.id in keyed]
    report = generate(out=tmp_path / "made", rows=200_000, seed=3, threads=1, only=made)
    files.update({table.dataset: table.path for table in report.tables})
    assert len(keyed) >= 6 and set(keyed) <= set(files)
    for name, key in keyed.items():
        read = pyarrow.parquet.read_table if files[name].suffix == ".parquet" else pyarrow.csv.read_csv
        table = read(files[name]).select(key)
        assert all(table.column(item).null_count == 0 for item in key)
        assert table.group_by(key).aggregate([]).num_rows == table.num_rows
