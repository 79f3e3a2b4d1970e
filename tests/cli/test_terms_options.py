"""How terms are stated on the command line: read as written, shown as they can be written again."""

from pathlib import Path

import click
import pytest

from huitong.cli.catalogue import item_text, mask_text, meaning_text, purpose_text
from huitong.cli.language import speak
from huitong.cli.terms import comparison_text, parse_quota, parse_where, read_subjects, shown_rules
from huitong.errors import InputInvalid, Reason
from huitong.model.policy import MaskKind
from huitong.words import render


@pytest.mark.parametrize(
    ("written", "item", "comparator", "values"),
    [
        ("members>=3", "members", "at-least", ["3"]),
        ("members <= 3", "members", "at-most", ["3"]),
        ("income>-5", "income", "more-than", ["-5"]),
        ("income<2.5", "income", "less-than", ["2.5"]),
        ("gender=2", "gender", "in", ["2"]),
        ("gender!=2", "gender", "not-in", ["2"]),
        ("村 in 520102016001, 520102016002", "村", "in", ["520102016001", "520102016002"]),
        ("cause NOT IN 'a, b',it", "cause", "not-in", ["a, b", "it"]),
        ("name='O''Brien'", "name", "in", ["O'Brien"]),
        ("died is missing", "died", "missing", []),
        ("died IS known", "died", "known", []),
    ],
)
def test_a_comparison_is_read(written: str, item: str, comparator: str, values: list[str]) -> None:
    (found,) = parse_where([written])
    assert found == {"item": item, "comparator": comparator, "values": values}
    assert parse_where([comparison_text(found)]) == [found]


def test_all_that_cannot_be_read_is_told_at_once() -> None:
    wrong = ["members>=", "a>=1,2", "a in", "a is gone", "a in b,,c", "a='x", "a='x' y", "a b=2", ""]
    with pytest.raises(InputInvalid) as caught:
        parse_where([*wrong, "a=1"])
    assert [reason.parameters["written"] for reason in caught.value.reasons] == wrong


def test_a_quota_is_read() -> None:
    assert parse_quota(["rows=1000/day"]) == {"period": "day", "rows": 1000}
    assert parse_quota(["queries=20, rows=500/month", "calls=3/month"]) == {"period": "month", "queries": 20, "rows": 500, "calls": 3}
    for wrong, code in (
        (["rows=1000"], "cli-quota-unreadable"),
        (["rows=-1/day"], "cli-quota-unreadable"),
        (["rows=1/day", "rows=1/month"], "cli-quota-periods"),
    ):
        with pytest.raises(InputInvalid) as caught:
            parse_quota(wrong)
        assert caught.value.reasons[0].code == code


def test_a_list_of_subjects_is_read_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "subjects.txt"
    file.write_text("\ufeff99010219900101123X\n\n  990102198505052341 \r\n", "utf-8")
    assert read_subjects(str(file)) == {"identifiers": ["99010219900101123X", "990102198505052341"]}
    assert read_subjects(f"pid={file}")["item"] == "pid"
    file.write_bytes(b"\xff\xfe\x00")
    for place in (str(file), str(tmp_path / "nothing")):
        with pytest.raises(InputInvalid) as caught:
            read_subjects(place)
        assert caught.value.reasons[0].code == "cli-subjects-unreadable"
        assert caught.value.reasons[0].parameters == {}


def test_terms_that_say_nothing_are_not_shown() -> None:
    assert shown_rules({"condition": [], "subjects": None, "k": None, "quota": None, "linkage": "purpose", "mode": "rows"}) == []
    rules = {
        "condition": [{"item": "members", "comparator": "at-least", "values": ["3"]}],
        "subjects": {"item": "pid", "count": 12, "digest": "0" * 64},
        "mode": "aggregate-only",
        "k": 10,
        "quota": {"period": "day", "rows": 1000, "queries": None, "calls": None},
        "linkage": "alone",
    }
    with click.Context(click.Command("show")):
        shown = dict(shown_rules(rules))
    assert shown["condition"] == "members>=3"
    assert shown["subjects"] == "12 listed, by pid"
    assert shown["mode"] == "aggregates only, groups of at least 10 entities"
    assert shown["quota"] == "rows=1000/day"
    assert shown["linkage"] == "alone"


def test_who_reads_chinese_sees_what_a_code_means_beside_it() -> None:
    quota = {"period": "day", "rows": 1000, "queries": 20, "calls": None}
    speak("zh-Hans")
    try:
        with click.Context(click.Command("show")):
            shown = dict(shown_rules({"k": 10, "mode": "aggregate-only", "quota": quota, "linkage": "purpose"}))
            masks = [mask_text({"kind": kind.value, "parameters": {}}) for kind in MaskKind]
            named = item_text("phone", {"kind": "partial", "parameters": {"first": 3, "last": 4}})
            codes = [purpose_text("education"), purpose_text("unheard-of"), meaning_text("resident-id"), meaning_text(None)]
    finally:
        speak("en")
    assert shown["mode"] == "仅汇总，每组不少于 10 个实体"
    assert shown["quota"] == "每日 1,000 行、20 次查询（rows=1000,queries=20/day）"
    assert masks == [f"{title} {kind.value}" for title, kind in zip(("明文", "隐藏", "部分遮盖", "泛化", "假名"), MaskKind, strict=True)]
    assert named == "phone（部分遮盖 partial:first=3,last=4）"
    assert codes == ["教育管理和资助（education）", "unheard-of", "公民身份号码（resident-id）", ""]


def test_a_sentence_calls_a_role_by_its_name() -> None:
    missing = Reason("role-missing", {"office": "gz-health", "post": "wen@gz-health", "role": "data-officer"})
    assert "角色“数据专员”" in render(missing, "zh-Hans") and "the role data officer" in render(missing, "en")
