"""The national form of the catalogue as CSV."""

import csv
import io
from dataclasses import replace

import pytest
from tests.spec.sharing.world import ADOPTION, HOMES, LOW_INCOME, OFFICES

from huitong.catalog.guide import form, guide_csv, safe
from huitong.model.catalog import ItemType, Openness, ResourceFormat, Sharing, SharingManner, UpdateCycle
from huitong.model.text import BilingualText


class Known:
    @staticmethod
    def office(office_id):
        return next((office for office in OFFICES if office.id == office_id), None)


def rows_of(*datasets) -> list[dict[str, str]]:
    text = "".join(guide_csv(datasets, Known()))
    assert text.startswith("\ufeff类,项,目,细目,信息资源名称,")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


def test_an_entry_fills_one_row_for_each_item() -> None:
    rows = rows_of(replace(LOW_INCOME, related=("1-01-0101/000001", "1-01-0102/000002"), format=ResourceFormat.SPREADSHEET))
    assert len(rows) == len(LOW_INCOME.items)
    first = rows[0]
    office = Known.office(LOW_INCOME.provider)
    assert first == {
        "类": "3 部门信息资源",
        "项": "01",
        "目": "010",
        "细目": "1",
        "信息资源名称": "低保家庭",
        "信息资源代码": "3-01-0101/000001",
        "信息资源提供方": office.title.zh,
        "信息资源提供方代码": office.credit_code,
        "信息资源摘要": "登记的家庭和人员",
        "信息资源格式": "电子表格",
        "信息项名称": "公民身份号码",
        "数据类型": "字符型C",
        "共享类型": "有条件共享",
        "共享条件": "仅限核对救助对象",
        "共享方式": "共享平台方式（查询）",
        "是否向社会开放": "否",
        "开放条件": "",
        "更新周期": "每月",
        "发布日期": "",
        "关联资源代码": "1-01-0101/000001、1-01-0102/000002",
    }
    assert [row["数据类型"] for row in rows] == ["字符型C", "字符型C", "日期型D", "字符型C", "整型I"]


def test_what_is_not_shared_states_its_basis_and_no_manner() -> None:
    (row, *_) = rows_of(ADOPTION)
    assert (row["共享类型"], row["共享条件"], row["共享方式"]) == ("不予共享", "民法典第一千一百一十条", "")


def test_several_entries_follow_each_other() -> None:
    rows = rows_of(HOMES, replace(HOMES, classification="3-01-0199/7"))
    assert {row["信息资源代码"] for row in rows} == {"3-01-0101/000001", "3-01-0199/7"}


@pytest.mark.parametrize(
    "cell", ["=1+1", "+86", "-2", "@SUM(A1)", "\t=1", " \r\n=cmd|' /C calc'!A0", "＝1", "＋1", "\ufeff=1", "\u200b=1", "'=1", "\x00=1"]
)
def test_no_cell_is_taken_for_a_formula(cell: str) -> None:
    assert safe(cell).startswith("'") and "\n" not in safe(cell)
    (row, *_) = rows_of(replace(HOMES, abstract=BilingualText(zh=cell, en="x")))
    assert row["信息资源摘要"] == safe(cell)


@pytest.mark.parametrize("cell", ["低保家庭", "3-01-0101/000001", "a=b", "", "分 - 元"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert safe(cell) == cell


def test_every_value_has_its_word_in_the_guide() -> None:
    lists = {"format": ResourceFormat, "type": ItemType, "sharing": Sharing, "manner": SharingManner, "openness": Openness}
    for name, values in {**lists, "cycle": UpdateCycle}.items():
        assert set(form()[name]) == {value.value for value in values}
    assert len(form()["headings"]) == 20
