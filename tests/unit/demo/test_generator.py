"""`generate`: same rows whatever the threads, people that fit together, faults at the rates that the registers state."""

import hashlib
from collections import Counter
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from huitong.demo import datasets, divisions, generate, generator
from huitong.demo.generator import shared_out
from huitong.demo.population import REFERENCE_DAY, Population, packed
from huitong.demo.registers import registers
from huitong.errors import InputInvalid
from huitong.model.codes import is_credit_code, is_resident_id

ROWS = 60_000
SEED = 11


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def province(tmp_path_factory) -> dict[str, pa.Table]:
    folder = tmp_path_factory.mktemp("province")
    report = generate(out=folder, rows=ROWS, seed=SEED, threads=2)
    assert report.rows == ROWS
    return {table.dataset: pq.read_table(table.path) for table in report.tables}


@pytest.fixture(scope="module")
def residents(province) -> set[str]:
    return {value for value in province["police.person_register"]["resident_id"].to_pylist() if is_resident_id(value)}


def test_same_seed_and_rows_give_the_same_bytes_at_one_two_and_five_threads(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(generator, "CHUNK_ROWS", 400)
    for threads in (1, 2, 5):
        generate(out=tmp_path / str(threads), rows=6_000, seed=3, threads=threads)
    assert hashes(tmp_path / "1") == hashes(tmp_path / "2") == hashes(tmp_path / "5")


def test_the_size_of_a_chunk_changes_no_row(tmp_path, monkeypatch) -> None:
    generate(out=tmp_path / "big", rows=4_000, seed=3, threads=1)
    monkeypatch.setattr(generator, "CHUNK_ROWS", 77)
    generate(out=tmp_path / "small", rows=4_000, seed=3, threads=2)
    for path in (tmp_path / "big").iterdir():
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "small" / path.name))


def test_another_seed_gives_other_rows(tmp_path) -> None:
    for seed in (1, 2):
        generate(out=tmp_path / str(seed), rows=2_000, seed=seed, threads=1)
    first, second = hashes(tmp_path / "1"), hashes(tmp_path / "2")
    assert all(first[name] != second[name] for name in first)


def test_the_rows_of_a_seed_are_pinned_for_every_machine(tmp_path) -> None:
    generate(out=tmp_path, rows=2_000, seed=20_261_122, threads=2)
    digest = hashlib.sha256()
    for path in sorted(tmp_path.iterdir()):
        for row in pq.read_table(path).to_pylist():
            digest.update(repr(sorted(row.items())).encode("utf-8"))
    assert digest.hexdigest() == "41c1b58f4ab705a467d4cf6d29a8a4af6358e5e256000b57b0e3decda01ac5cc"


def test_some_datasets_alone_get_the_rows_of_a_full_run(tmp_path, province) -> None:
    report = generate(out=tmp_path, rows=ROWS, seed=SEED, threads=1, only=["hr.pension", "civil.minimum_allowance"])
    assert {table.dataset for table in report.tables} == {"hr.pension", "civil.minimum_allowance"}
    for table in report.tables:
        assert pq.read_table(table.path).equals(province[table.dataset])


def test_csv_holds_the_same_rows(tmp_path, province) -> None:
    generate(out=tmp_path, rows=ROWS, seed=SEED, threads=1, only=["police.household_register"], form="csv")
    table = province["police.household_register"]
    options = pyarrow.csv.ConvertOptions(column_types=table.schema, strings_can_be_null=True, quoted_strings_can_be_null=False)
    assert pyarrow.csv.read_csv(tmp_path / "police.household_register.csv", convert_options=options).equals(table)


def test_each_file_has_the_items_of_its_entry_in_their_types(province) -> None:
    kinds = {"text": pa.string(), "integer": pa.int64(), "date": pa.date32(), "boolean": pa.bool_()}
    for dataset in datasets():
        if dataset.id in province:
            wanted = pa.schema([(item.name, kinds[item.type.value]) for item in dataset.items])
            assert province[dataset.id].schema.equals(wanted), dataset.id


@pytest.mark.parametrize("rows", [1_000, 12_345, 2_000_000, 203_000_000])
def test_registers_share_the_rows_in_the_stated_proportions(rows) -> None:
    counts, population = shared_out(rows, seed=4)
    assert sum(counts.values()) == rows
    assert min(counts.values()) >= 1
    assert counts["police.household_register"] == population.households
    if rows >= 2_000_000:
        for register in registers():
            if register.share and not register.about.endswith("-once"):
                assert counts[register.dataset.id] == pytest.approx(rows * register.share / 203_000, rel=0.01)


# --- people ---------------------------------------------------------------------------------------------------------------


def test_resident_ids_are_valid_distinct_and_nobodys(province, residents) -> None:
    ids = province["police.person_register"]["resident_id"].to_pylist()
    spoilt = [value for value in ids if not is_resident_id(value)]
    assert len(residents) + len(spoilt) == len(ids)
    assert 0 < len(spoilt) < 0.002 * len(ids)
    assert all(value.startswith("99") for value in ids)


def test_a_resident_id_tells_birth_and_sex_as_the_register_does(province) -> None:
    for row in province["police.person_register"].slice(0, 3_000).to_pylist():
        if is_resident_id(row["resident_id"]):
            if row["birth_date"] is not None:
                assert row["resident_id"][6:14] == row["birth_date"].strftime("%Y%m%d")
            if row["sex"] in ("1", "2"):
                assert int(row["resident_id"][16]) % 2 == int(row["sex"]) % 2


def test_ages_look_like_a_people(province) -> None:
    born = [day for day in province["police.person_register"]["birth_date"].to_pylist() if day]
    ages = np.array([(REFERENCE_DAY - day).days // 365.25 for day in born])
    assert ages.min() >= 0
    assert ages.max() <= 110
    shares = {name: ((ages >= low) & (ages < high)).mean() for name, low, high in
              (("children", 0, 15), ("working", 15, 60), ("old", 60, 80), ("very old", 80, 120))}  # fmt: skip
    assert 0.10 < shares["children"] < 0.25
    assert 0.5 < shares["working"] < 0.7
    assert 0.1 < shares["old"] < 0.25
    assert 0.01 < shares["very old"] < 0.06


def test_households_live_in_real_villages_and_have_as_many_members_as_they_say(province) -> None:
    known = {division.code for division in divisions()}
    households = province["police.household_register"].to_pylist()
    codes = [row["household_code"] for row in households]
    assert len(set(codes)) == len(codes)
    strange = [row for row in households if row["division_code"] is not None and row["division_code"] not in known]
    assert len(strange) < 0.002 * len(households)
    members = Counter(province["police.person_register"]["household_code"].to_pylist())
    missing = members.pop(None, 0)
    said = {row["household_code"]: row["members"] for row in households}
    differing = [code for code, size in said.items() if size is not None and members[code] != size]
    assert len(differing) <= missing
    assert 2.9 < sum(size for size in said.values() if size) / len(households) < 3.4


def test_every_household_has_one_head_who_is_in_the_person_register(province) -> None:
    people = province["police.person_register"].to_pylist()
    heads = Counter(row["household_code"] for row in people if row["relation_to_head"] == "户主" and row["household_code"])
    assert set(heads.values()) == {1}
    of_head = {row["household_code"]: row["resident_id"] for row in people if row["relation_to_head"] == "户主"}
    joined = [(row["head_id"], of_head.get(row["household_code"])) for row in province["police.household_register"].to_pylist()]
    same = sum(one == other for one, other in joined)
    assert same > 0.995 * len(joined)


def test_spouses_and_children_are_of_fitting_age(province) -> None:
    families: dict[str, dict[str, list[date]]] = {}
    for row in province["police.person_register"].to_pylist():
        if row["household_code"] and row["birth_date"] and row["relation_to_head"]:
            family = families.setdefault(row["household_code"], {})
            family.setdefault(row["relation_to_head"], []).append(row["birth_date"])
    years = [
        (kind, (born - family["户主"][0]).days / 365.25)
        for family in families.values()
        if "户主" in family
        for kind, days in family.items()
        for born in days
    ]
    assert all(-4.1 < gap < 7 for kind, gap in years if kind == "配偶")
    assert all(19 < gap < 38.5 for kind, gap in years if kind == "子女")
    assert all(-33 < gap < -19 for kind, gap in years if kind in ("父亲", "母亲"))


def test_surnames_have_their_real_frequencies(province) -> None:
    names = [name for name in province["police.person_register"]["person_name"].to_pylist() if name]
    share = {surname: sum(name.startswith(surname) for name in names) / len(names) for surname in "王李张刘陈"}
    assert share == pytest.approx({"王": 0.08, "李": 0.08, "张": 0.076, "刘": 0.06, "陈": 0.05}, abs=0.015)
    assert {len(name) for name in names} <= {2, 3, 4}


@pytest.mark.slow
def test_no_two_people_share_an_id_in_the_biggest_county_of_the_full_province() -> None:
    population = Population(seed=5, persons=38_000_000)
    county = int(np.argmax(population._county_size))
    number = np.arange(population._county_start[county], population._county_start[county + 1])
    households = population.locate(number)
    found = []
    for member in range(7):
        some = population.locate(number[households.size > member])
        found.append(packed(population.resident_ids(population.members(some, np.full(len(some.number), member)))))
    everyone = np.concatenate(found)
    assert len(everyone) > 1_000_000
    assert len(np.unique(everyone)) == len(everyone)


# --- facts about people ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dataset", [register.dataset.id for register in registers() if register.about in ("person", "person-once", "company")]
)
def test_facts_about_people_refer_to_people_of_the_register(province, residents, dataset) -> None:
    name = next(item.name for item in entry(dataset).items if item.meaning == "resident-id")
    known = [value for value in province[dataset][name].to_pylist() if value is not None and is_resident_id(value)]
    strangers = [value for value in known if value not in residents]
    # Only those whose own ID in the register is spoilt (40 in 100,000).
    assert len(strangers) <= max(3, 0.003 * len(known))


@pytest.mark.parametrize(
    "dataset", [register.dataset.id for register in registers() if register.about in ("household", "household-once")]
)
def test_facts_about_households_refer_to_households_of_the_register(province, dataset) -> None:
    registered = set(province["police.household_register"]["household_code"].to_pylist())
    codes = [code for code in province[dataset]["household_code"].to_pylist() if code is not None]
    strangers = [code for code in codes if code.strip() not in registered]
    assert len(strangers) <= max(1, 0.002 * len(codes))


def entry(dataset: str):
    return next(candidate for candidate in datasets() if candidate.id == dataset)


def test_employers_are_companies_of_the_register_with_valid_codes(province) -> None:
    companies = set(province["market.company"]["credit_code"].to_pylist())
    assert all(is_credit_code(code) for code in companies)
    employers = [code for code in province["hr.employment"]["employer_code"].to_pylist() if code is not None]
    assert sum(code in companies for code in employers) > 0.995 * len(employers)


def test_at_most_once_means_once(province) -> None:
    codes = province["agriculture.monitored_household"]["household_code"].to_pylist()
    assert len(set(codes)) == len(codes)
    deaths = [code for code in province["police.death"]["household_code"].to_pylist() if code]
    assert len(set(deaths)) == len(deaths)


@pytest.mark.parametrize(
    ("dataset", "youngest", "oldest"), [("hr.pension", 60, 110), ("education.school_fee", 3, 23), ("hr.employment", 18, 59)]
)
def test_drawn_people_have_the_age_that_the_register_asks(province, dataset, youngest, oldest) -> None:
    ids = [value for value in province[dataset]["resident_id"].to_pylist() if value and is_resident_id(value)]
    ages = [(REFERENCE_DAY - date(int(value[6:10]), int(value[10:12]), int(value[12:14]))).days / 365.25 for value in ids]
    outside = [age for age in ages if not youngest - 0.01 <= age <= oldest + 1.01]
    assert len(outside) <= 0.002 * len(ages)


# --- values ---------------------------------------------------------------------------------------------------------------


def test_days_lie_in_the_windows_that_the_registers_state(province) -> None:
    for register in registers():
        for name, spec in register.makers.items():
            if spec["kind"] == "date":
                bounds = pc.min_max(province[register.dataset.id][name]).as_py()
                assert date.fromisoformat(spec["from"]) <= bounds["min"] <= bounds["max"] <= date.fromisoformat(spec["to"])


def test_what_patients_pay_is_what_the_funds_leave_and_has_a_heavy_tail(province) -> None:
    table = province["medical.settlement"]
    total, fund, own = (table[name].to_numpy() for name in ("total_fen", "fund_paid_fen", "out_of_pocket_fen"))
    assert (total == fund + own).all()
    assert (own >= 0).all()
    sums = np.sort(own)
    assert sums[-len(sums) // 100 :].sum() > 0.15 * sums.sum()


def test_disasters_fall_in_the_rainy_season(province) -> None:
    months = Counter(day.month for day in province["emergency.disaster_loss"]["struck_on"].to_pylist())
    assert sum(months[month] for month in (5, 6, 7, 8)) > 0.6 * sum(months.values())


def test_the_minimum_allowance_goes_more_often_to_households_with_low_wages(province) -> None:
    register = province["police.person_register"].to_pylist()
    household = {row["resident_id"]: row["household_code"] for row in register}
    wages: dict[str, list[int]] = {}
    for row in province["hr.employment"].to_pylist():
        if row["resident_id"] in household and row["wage_fen"] is not None:
            wages.setdefault(household[row["resident_id"]], []).append(row["wage_fen"])
    helped = set(province["civil.minimum_allowance"]["household_code"].to_pylist())
    mean = {
        group: np.mean([sum(found) / len(found) for code, found in wages.items() if (code in helped) is group])
        for group in (True, False)
    }
    assert mean[True] < 0.93 * mean[False]


def test_rows_arrive_in_no_order(province) -> None:
    villages = [code for code in province["police.person_register"]["division_code"].to_pylist() if code]
    rising = sum(one <= other for one, other in pairwise(villages)) / (len(villages) - 1)
    assert 0.45 < rising < 0.55


def test_missing_and_dirty_values_come_at_the_stated_rates(tmp_path) -> None:
    generate(out=tmp_path, rows=1_200_000, seed=2, threads=2, only=["civil.temporary_relief", "hr.employment"])
    relief = pq.read_table(tmp_path / "civil.temporary_relief.parquet")
    employment = pq.read_table(tmp_path / "hr.employment.parquet")
    makers = {register.dataset.id: register.makers for register in registers()}
    for dataset, table in (("civil.temporary_relief", relief), ("hr.employment", employment)):
        for name, spec in makers[dataset].items():
            expected = spec.get("missing", 0) / 100_000
            spread = 4 * (max(expected, 1e-5) / table.num_rows) ** 0.5
            assert abs(table[name].null_count / table.num_rows - expected) <= spread, (dataset, name)
    texts = [text for text in relief["registered_text"].to_pylist() if text is not None]
    impossible = [text for text in texts if not is_a_day(text)]
    assert len(impossible) / len(texts) == pytest.approx(0.007, abs=0.005)
    wrong = [value for value in employment["resident_id"].to_pylist() if value and not is_resident_id(value)]
    assert len(wrong) / employment.num_rows == pytest.approx(0.0007, abs=0.0004)


def is_a_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 10


def test_some_rows_are_sent_twice(tmp_path) -> None:
    generate(out=tmp_path, rows=400_000, seed=2, threads=2, only=["medical.settlement"])
    table = pq.read_table(tmp_path / "medical.settlement.parquet")
    numbers = table["settlement_number"].to_pylist()
    twice = len(numbers) - len(set(numbers))
    assert twice / len(numbers) == pytest.approx(0.0009, rel=0.5)
    rows = {tuple(row.values()) for row in table.to_pylist()}
    assert len(rows) == len(set(numbers))


# --- running it -------------------------------------------------------------------------------------------------------------


def test_progress_counts_up_to_all_rows(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(generator, "CHUNK_ROWS", 500)
    seen: list[tuple[int, int]] = []
    generate(out=tmp_path, rows=10_000, seed=1, threads=2, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (10_000, 10_000)


def test_an_interrupted_run_leaves_only_whole_files_and_can_be_repeated(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(generator, "CHUNK_ROWS", 500)

    def interrupt(done: int, total: int) -> None:
        if done > 9_000:
            raise KeyboardInterrupt

    generate(out=tmp_path / "whole", rows=20_000, seed=1, threads=2)
    whole = hashes(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        generate(out=tmp_path / "cut", rows=20_000, seed=1, threads=2, progress=interrupt)
    left = hashes(tmp_path / "cut")
    assert 0 < len(left) < len(whole)
    assert left.items() <= whole.items()
    generate(out=tmp_path / "cut", rows=20_000, seed=1, threads=2)
    assert hashes(tmp_path / "cut") == whole


def test_too_few_rows_are_refused(tmp_path) -> None:
    with pytest.raises(InputInvalid) as caught:
        generate(out=tmp_path, rows=33, seed=1, threads=1)
    assert caught.value.reasons[0].code == "demo-rows-too-few"


def test_more_people_than_ids_are_refused_rather_than_given_the_same_id() -> None:
    with pytest.raises(InputInvalid) as caught:
        Population(seed=1, persons=400_000_000)
    assert caught.value.reasons[0].code == "demo-rows-too-many"


def test_an_unknown_dataset_is_refused(tmp_path) -> None:
    with pytest.raises(InputInvalid) as caught:
        generate(out=tmp_path, rows=5_000, seed=1, threads=1, only=["geo.division"])
    assert caught.value.reasons[0].code == "demo-dataset-unknown"


@pytest.mark.slow
def test_two_million_rows_as_in_the_demo(tmp_path) -> None:
    report = generate(out=tmp_path, rows=2_000_000, seed=1, threads=2)
    assert report.rows == 2_000_000
    assert len(report.tables) == 34
    assert report.rows == sum(pq.ParquetFile(table.path).metadata.num_rows for table in report.tables)
    ids = pq.read_table(tmp_path / "police.person_register.parquet")["resident_id"]
    assert pc.count_distinct(ids).as_py() > 0.9999 * len(ids)
    again = generate(out=tmp_path / "again", rows=2_000_000, seed=1, threads=5, only=["police.person_register"])
    assert again.tables[0].path.read_bytes() == (tmp_path / "police.person_register.parquet").read_bytes()
