"""A grading scheme is a file. What is wrong with one is told all at once, by its field, in both languages."""

from importlib.resources import files

import pytest
from tests.spec.sharing.world import item, says_no

from huitong.errors import HuitongError, InputInvalid, NotFound
from huitong.masks import check_mask
from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText
from huitong.policy.grading import load_scheme, read_scheme, scheme, scheme_ids, scheme_in_force
from huitong.words import render

SHIPPED = (files("huitong.policy") / "grading_schemes" / "gb-t-43697.toml").read_text("utf-8")
TITLE = BilingualText(zh="项", en="item")


def faults(text: str) -> list[tuple[str, str]]:
    """Codes and fields of what is wrong with a file; each of them is a sentence in both languages."""
    with pytest.raises(InputInvalid) as caught:
        read_scheme(text)
    for reason in caught.value.reasons:
        for language in ("en", "zh-Hans"):
            sentence = render(reason, language)
            assert "grading.toml" in sentence and not sentence.startswith(reason.code)
    return [(reason.code, str(reason.parameters.get("field", "-"))) for reason in caught.value.reasons]


def test_two_schemes_ship_and_one_of_them_must_be_checked() -> None:
    assert scheme_ids() == ("db52-t-1123", "gb-t-43697")
    assert not scheme().check_against_text and scheme().id == "gb-t-43697"
    assert scheme("db52-t-1123").check_against_text
    assert "check against the text" in scheme("db52-t-1123").title.en and "须核对" in scheme("db52-t-1123").title.zh


def test_every_rank_has_its_grade_the_higher_one_where_there_is_none_of_its_own() -> None:
    assert [scheme("db52-t-1123").at(rank).code for rank in Grade] == [
        "public", "internal", "internal", "internal", "classified", "classified",
    ]  # fmt: skip


def test_codes_of_other_schemes_are_understood() -> None:
    assert scheme().rank_of("general-3") is Grade.SENSITIVE
    assert scheme().rank_of("internal", scheme="db52-t-1123") is Grade.SENSITIVE
    assert scheme("db52-t-1123").rank_of("important", scheme="gb-t-43697") is Grade.CORE
    for code, other in (("internal", None), ("general-3", "db52-t-1123"), ("x", "unheard-of")):
        with says_no(NotFound, "grade-unknown"):
            scheme().rank_of(code, scheme=other)


def test_the_setting_names_a_scheme_or_the_instances_own_file(tmp_path) -> None:
    own = tmp_path / "grading.toml"
    assert scheme_in_force("gb-t-43697", own) == scheme()
    with says_no(NotFound, "grading-file-missing"):
        scheme_in_force("own", own)
    own.write_text('base = "gb-t-43697"\nid = "guizhou"\n', "utf-8")
    assert scheme_in_force("own", own).id == "guizhou"
    with says_no(NotFound, "grading-scheme-unknown"):
        scheme_in_force("../grading", own)
    own.write_bytes("﻿id = '国'".encode("gb18030"))
    with says_no(InputInvalid, "grading-not-toml"):
        load_scheme(own)


def test_an_own_file_states_only_what_differs() -> None:
    own = read_scheme(
        """
        base = "gb-t-43697"
        id = "guizhou"
        title = ["贵州省分级方案", "Scheme of Guizhou"]

        [floor]
        address = 3

        [[mask]]
        meaning = "person-name"
        grade = 2
        mask = "hide"

        [[combination]]
        id = "village-and-birth"
        all_of = [["division-code"], ["birth-date"]]
        grade = 3
        source = "decision of the data bureau"
        """
    )
    assert own.grades == scheme().grades and own.floors["address"] is Grade.SENSITIVE
    assert own.floors["resident-id"] is Grade.SENSITIVE
    name = item("n", "姓名", "name", Grade.INTERNAL, meaning="person-name")
    assert (own.default_mask(name).kind, scheme().default_mask(name).kind) == (MaskKind.HIDE, MaskKind.PARTIAL)
    assert {one.id for one in own.combinations} - {one.id for one in scheme().combinations} == {"village-and-birth"}
    assert own.scales == scheme().scales, "what the law says of scale is not taken away"


def test_the_shipped_file_reads_as_an_own_file_too() -> None:
    assert read_scheme(SHIPPED).grades == scheme().grades


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("reviewers = 1", "reviewers = 3", ("grading-field-invalid", "grade 1.reviewers")),
        ("reviewers = 1", "reviewers = true", ("grading-field-invalid", "grade 1.reviewers")),
        ('modes = ["rows",', 'modes = ["everything",', ("grading-field-invalid", "grade 1.modes")),
        ("sandbox_level = 1\n", "", ("grading-field-missing", "grade 1.sandbox_level")),
        ("keep_days = 1095", "keep_days = -1", ("grading-field-invalid", "grade 1.keep_days")),
        ("keep_days = 1095", "keep_dais = 1095", ("grading-field-unknown", "grade 1.keep_dais")),
        ("rank = 1", "rank = 7", ("grading-field-invalid", "grade 1.rank")),
        ("masked_as = 3", "masked_as = 5", ("grading-field-invalid", "general-4.masked_as")),
        ("masked_as = 3", "masked_as = 2", ("grading-not-rising", "masked_as")),
        ("rank = 6", "rank = 5", ("grading-ladder-short", "-")),
        ("rank = 2", "rank = 1", ("grading-grade-twice", "-")),
        ('code = "general-2"', 'code = "general-1"', ("grading-grade-twice", "-")),
        ("keep_days = 730", "keep_days = 2000", ("grading-not-rising", "keep_days")),
        ('id = "gb-t-43697"', "", ("grading-field-missing", "id")),
        ('id = "gb-t-43697"', 'id = "GB/T"', ("grading-field-invalid", "id")),
        ('title = ["数据分类', 'title = ["", "数据分类', ("grading-field-invalid", "title")),
        ("resident-id = 3", 'resident-id = "high"', ("grading-field-invalid", "floor.resident-id")),
        ("public = 1", "public = 0", ("grading-field-invalid", "foreign.db52-t-1123.public")),
        ('id = "gb-t-43697"', 'id = "x"\nbase = "y"', ("grading-field-invalid", "base")),
        ('id = "gb-t-43697"', 'id = "x"\ncolour = "red"', ("grading-field-unknown", "colour")),
    ],
)
def test_what_is_wrong_with_a_file_is_named_by_its_field(old: str, new: str, expected: tuple[str, str]) -> None:
    assert old in SHIPPED
    assert expected in faults(SHIPPED.replace(old, new, 1))


def test_everything_is_told_at_once() -> None:
    text = SHIPPED.replace("rank = 1", "rank = 9", 1).replace("keep_days = 90", 'keep_days = "long"', 1)
    assert [field for _, field in faults(text)] == ["grade 1.rank", "grade 5.keep_days"]


LOWERING = """
base = "gb-t-43697"
id = "own"
[[lowering]]
dataset = "b.count"
item = "n"
grade = 2
manner = "aggregated"
basis = "按县汇总"
agreed_by = ["yang", "wang"]
agreed_on = 2026-11-02
"""


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('["yang", "wang"]', '["yang"]', "lowering 1.agreed_by"),
        ('["yang", "wang"]', '["yang", "Yang "]', "lowering 1.agreed_by"),
        ('"按县汇总"', '" "', "lowering 1.basis"),
        ('"aggregated"', '"because"', "lowering 1.manner"),
        ("2026-11-02", '"soon"', "lowering 1.agreed_on"),
        ('"b.count"', '"B count"', "lowering 1.dataset"),
        ('"n"', '"; drop"', "lowering 1.item"),
    ],
)
def test_a_lowering_needs_two_people_a_manner_and_a_basis(old: str, new: str, field: str) -> None:
    assert read_scheme(LOWERING).lowerings[0].agreed_by == ("wang", "yang")
    assert ("grading-field-invalid", field) in faults(LOWERING.replace(old, new, 1))


def test_a_lowering_stands_once() -> None:
    again = LOWERING + LOWERING.partition('id = "own"')[2].replace('"n"', '"N"')
    assert faults(again) == [("grading-lowering-twice", "-")]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ('meaning = "x"\ngrade = 2\nmask = "stars"', ("grading-field-invalid", "mask 1.mask")),
        ('meaning = "x"\ngrade = 2\nmask = "partial"', ("grading-field-invalid", "mask 1.parameters")),
        ('meaning = "x"\ntype = "text"\ngrade = 2\nmask = "hide"', ("grading-field-invalid", "mask 1")),
        ('type = "varchar"\ngrade = 2\nmask = "hide"', ("grading-field-invalid", "mask 1.type")),
        ('meaning = "x"\ngrade = 2\nmask = "hide"\n[[mask]]\nmeaning = "x"\ngrade = 4\nmask = "clear"', ("grading-not-rising", "mask x")),
    ],
)
def test_masks_of_an_own_file_are_checked(mask: str, expected: tuple[str, str]) -> None:
    assert expected in faults(f'base = "gb-t-43697"\nid = "own"\n[[mask]]\n{mask}')


@pytest.mark.parametrize("text", ["grade = 1", "grade = [1]", "floor = 3", "foreign = []", "lowering = {}", "combination = 1", "mask = 0"])
def test_a_file_of_the_wrong_shape_is_refused_not_fallen_over(text: str) -> None:
    with pytest.raises(HuitongError):
        read_scheme(f'base = "gb-t-43697"\nid = "own"\n{text}')


def test_every_default_mask_of_every_meaning_fits_at_every_grade_and_core_is_hidden() -> None:
    one = scheme()
    meanings = sorted({*one.masks.meaning, *one.floors})
    for kind in ItemType:
        for meaning in (None, *meanings):
            for grade in Grade:
                found = Item("x", TITLE, kind, grade, meaning)
                check_mask(found, one.default_mask(found))
                if grade is Grade.CORE:
                    assert one.default_mask(found) == Mask(MaskKind.HIDE)
