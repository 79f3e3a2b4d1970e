"""A draft says what can be known of a file and why, holds none of its values, and cannot be published before a person has read it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta

import pyarrow as pa
import pytest
import tomli_w

from huitong.catalog.toml import entry_of, loads
from huitong.errors import InputInvalid, Reason
from huitong.intake.recognisers import Recognition
from huitong.intake.source import Proof, Reading, ReadingColumn, SourceBatch, SourceTable
from huitong.intake.suggesting import draft_entry, item_names, suggest
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.codes import resident_id_check_character
from huitong.model.policy import MaskKind
from huitong.model.text import BilingualText
from huitong.policy.schemes import scheme
from huitong.words import sentences

HEADERS = ("姓名", "身份证号（18位）", "联系电话", "村代码", "备注")
NAMES = tuple(
    "王伟 李娜 张敏 刘洋 陈静 杨丽 赵强 黄磊 周军 吴艳 徐勇 孙杰 胡涛 朱明 高超 林霞 何平 郭刚 马俊 罗玲".split()  # noqa: SIM905 -- one word after the other
)


def rows(count: int) -> list[tuple[str, ...]]:
    made = []
    for n in range(count):
        first = f"520102{date(1950, 1, 1) + timedelta(days=n):%Y%m%d}{n % 1000:03d}"
        name = NAMES[n % 20] + NAMES[n // 20 % 20][1:]
        made.append((name, first + resident_id_check_character(first), f"139{n:08d}", f"520102{n % 1000:03d}000", f"秘密{n}"))
    return made


class Made(SourceTable):
    """A source of rows in memory, in batches."""

    def __init__(self, table: list[tuple[str, ...]], size: int = 500) -> None:
        self.table, self.size = table, size

    @property
    def names(self) -> tuple[str, ...]:
        return HEADERS

    @property
    def reading(self) -> Reading:
        columns = tuple(ReadingColumn(name, ItemType.TEXT, Reason("reading-type-words", {})) for name in HEADERS)
        return Reading("xlsx", None, None, "Sheet1", ("Sheet1",), 1, len(self.table), columns, ())

    def batches(self) -> Iterator[SourceBatch]:
        for start in range(0, len(self.table), self.size):
            part = self.table[start : start + self.size]
            columns = [pa.array([row[position] for row in part], pa.string()) for position in range(len(HEADERS))]
            yield SourceBatch(pa.array(range(start + 2, start + 2 + len(part)), pa.int64()), pa.table(columns, names=list(HEADERS)))

    def proof(self) -> Proof:
        return Proof("0" * 64, len(self.table), None, None)


def test_a_draft_says_what_each_item_is_taken_for_and_why() -> None:
    entry = draft_entry(Made(rows(900)), dataset="civil.roll", provider="gz-civil")
    items = {item["name"]: item for item in entry["items"]}
    assert {name: (item.get("meaning"), item["grade"]) for name, item in items.items()} == {
        "姓名": ("person-name", 3),
        "身份证号": ("resident-id", 4),
        "联系电话": ("phone", 3),
        "村代码": ("division-code", 1),
        "备注": (None, 2),
    }
    assert "900" in items["身份证号"]["suggested"] and " / " in items["身份证号"]["suggested"]
    assert items["身份证号"]["title"]["zh"] == "身份证号（18位）"
    assert (entry["division_item"], entry["format"], entry["provider"]) == ("村代码", "spreadsheet", "gz-civil")


def test_a_draft_is_refused_until_a_person_has_read_it_and_filled_it_in() -> None:
    entry = draft_entry(Made(rows(300)), dataset="civil.roll", provider="gz-civil")
    with pytest.raises(InputInvalid) as refusal:
        loads(tomli_w.dumps(entry))
    assert refusal.value.reasons[0].code == "entry-not-confirmed"
    read = {name: value for name, value in entry.items() if name != "suggested"}
    read["items"] = [{name: value for name, value in item.items() if name != "suggested"} for item in entry["items"]]
    with pytest.raises(InputInvalid):
        entry_of(read)
    words = {"zh": "花名册", "en": "Roll"}
    basis = "《中华人民共和国居民身份证法》第三条"
    read |= {"title": words, "abstract": words, "sharing_condition": words, "sharing_basis": basis, "classification": "3-01-0101/000001"}
    assert [item.name for item in entry_of(read).items] == ["姓名", "身份证号", "联系电话", "村代码", "备注"]


def test_a_draft_holds_no_value_of_the_file() -> None:
    text = tomli_w.dumps(draft_entry(Made(rows(300)), dataset="civil.roll", provider="gz-civil"))
    assert not any(value in text for row in rows(300) for value in row)


def test_a_draft_of_a_file_without_rows_has_its_items_all_the_same() -> None:
    entry = draft_entry(Made([]), dataset="civil.roll", provider="gz-civil")
    assert len(entry["items"]) == 5 and not any("meaning" in item for item in entry["items"])


def test_a_large_file_is_looked_at_throughout_in_bounded_memory_and_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huitong.intake.suggesting.SAMPLE", 200)
    late = rows(6_000)[:3_000] + [("", "", "", "", f"{n}") for n in range(3_000)]
    entries = [draft_entry(Made(late, size=250), dataset="civil.roll", provider="gz-civil", seed=3) for _ in range(2)]
    assert entries[0] == entries[1]
    assert entries[0]["items"][1]["meaning"] == "resident-id"


def test_a_name_that_cannot_be_a_dataset_is_refused_before_the_file_is_read() -> None:
    with pytest.raises(InputInvalid) as refusal:
        draft_entry(Made(rows(1)), dataset="Roll; DROP", provider="gz-civil")
    assert refusal.value.reasons[0].code == "dataset-name-invalid"


def test_names_of_items_come_from_headers_and_are_told_apart() -> None:
    headers = ["序号", "身份证号（18位）", "身份证号", "personName", "Person Name", "2023年", "", "***", "x" * 90, "㵲水"]
    found = item_names(headers)
    assert found == ("序号", "身份证号", "身份证号_2", "person_name", "person_name_2", "item_2023年", "item_7", "item_8", "x" * 55, "㵲水")
    assert len(set(found)) == len(found)


ITEM = Item("x", BilingualText("甲", "x"), ItemType.TEXT, Grade.PUBLIC)


def recognised(meaning: str, code: str = "recognised-by-checksum") -> Recognition:
    return Recognition(meaning, 90, 100, Reason(code, {"meaning": meaning, "recognised": 90, "sampled": 100}))


def test_a_suggestion_brings_grade_and_mask_of_the_scheme_in_force() -> None:
    found = suggest(ITEM, [recognised("resident-id")], scheme())
    assert found is not None
    assert (found.meaning, found.grade, found.mask.kind) == ("resident-id", Grade.HIGHLY_SENSITIVE, MaskKind.PSEUDONYM)
    strict = replace(scheme(), floors={"credit-code": Grade.IMPORTANT})
    raised = suggest(ITEM, [recognised("credit-code")], strict)
    assert raised is not None and raised.grade is Grade.IMPORTANT


def test_nothing_is_suggested_to_an_item_that_has_as_much() -> None:
    known = replace(ITEM, meaning="resident-id", grade=Grade.IMPORTANT)
    assert suggest(known, [recognised("resident-id")], scheme()) is None
    assert suggest(ITEM, [], scheme()) is None
    assert suggest(replace(ITEM, meaning="phone", grade=Grade.SENSITIVE), [recognised("landline")], scheme()) is None


def test_a_stated_meaning_is_raised_to_the_floor_alone_and_no_grade_is_lowered() -> None:
    low = suggest(replace(ITEM, meaning="resident-id"), [recognised("resident-id")], scheme())
    assert low is not None and low.grade is scheme().floors["resident-id"]
    assert suggest(replace(ITEM, meaning="money-fen"), [recognised("money-fen", "recognised-by-shape")], scheme()) is None
    high = suggest(replace(ITEM, grade=Grade.CORE), [recognised("phone")], scheme())
    assert high is not None and high.grade is Grade.CORE


def test_what_a_person_stated_is_contradicted_by_a_check_character_but_not_by_a_shape() -> None:
    stated = replace(ITEM, meaning="household-id", grade=Grade.SENSITIVE)
    assert suggest(stated, [recognised("phone", "recognised-by-shape")], scheme()) is None
    found = suggest(stated, [recognised("bank-card")], scheme())
    assert found is not None and found.meaning == "bank-card"


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_every_reason_has_its_sentence(language: str) -> None:
    known = sentences(language)
    codes = [f"recognised-by-{kind}{named}" for kind in ("checksum", "list", "shape") for named in ("", "-and-name")]
    codes += ["draft-entry-to-confirm", "draft-nothing-recognised", "drift-rows"]
    codes += [f"drift-{kind}-of-item" for kind in ("completeness", "validity", "distinct", "distribution")]
    assert set(codes) <= set(known)
