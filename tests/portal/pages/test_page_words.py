"""Every word of the pages stands in Chinese too, and the compiled file is what the written one gives."""

import gettext
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest
from django.utils.translation import override

from huitong.model.catalog import Grade, Item, ItemType
from huitong.model.policy import Mask, MaskKind
from huitong.model.text import BilingualText
from huitong.policy.default_masks import default_mask
from huitong.policy.schemes import GradingScheme
from huitong.policy.schemes import scheme as scheme_of
from huitong.portal import pages
from huitong.portal.pages import labels
from huitong.portal.pages.labels import COLOURS, LABELS, label, mask_words
from huitong.portal.pages.packages import package_folders
from huitong.portal.pages.translations import LOCALE, mo_bytes, read_po

PAGES = Path(pages.__file__).parent
PO = LOCALE / "zh_Hans" / "LC_MESSAGES" / "django.po"
MESSAGES = read_po(PO.read_text("utf-8"))
IN_TEMPLATES = [
    re.compile(r'{%\s*translate\s+"([^"]+)"'),
    re.compile(r"{%\s*translate\s+'([^']+)'"),
]
BLOCKS = re.compile(r"{%\s*blocktranslate([^%]*)%}(.*?){%\s*endblocktranslate\s*%}", re.DOTALL)
IN_PYTHON = re.compile(r'\b(?:gettext|_|ngettext)\(\s*"((?:[^"\\]|\\.)+)"')


def written() -> set[str]:
    """The messages of templates and modules, as they stand in the source."""
    found: set[str] = set()
    for template in PAGES.rglob("*.html"):
        words = template.read_text("utf-8")
        for pattern in IN_TEMPLATES:
            found |= set(pattern.findall(words))
        for settings, body in BLOCKS.findall(words):
            singular = re.split(r"{%\s*plural\s*%}", body)[0]
            if "trimmed" in settings:
                singular = " ".join(line.strip() for line in singular.strip().splitlines())
            found.add(re.sub(r"{{\s*(\w+)\s*}}", r"%(\1)s", singular))
    for module in PAGES.rglob("*.py"):
        found |= set(IN_PYTHON.findall(module.read_text("utf-8")))
    return found


def test_every_word_of_the_pages_has_its_chinese() -> None:
    known = {name.split("\0")[0] for name in MESSAGES}
    assert written() - known == set()
    assert len(known) > 130


def test_no_word_hides_where_the_tools_do_not_look() -> None:
    """An f-string's own braces are not read when words are collected."""
    hidden = re.compile(r"gettext\(\s*'")
    assert not [module.name for module in PAGES.rglob("*.py") if hidden.search(module.read_text("utf-8"))]


def test_no_chinese_is_left_over() -> None:
    known = {name.split("\0")[0] for name in MESSAGES} - {""}
    assert known - written() == set()


def test_placeholders_are_the_same_in_both_languages() -> None:
    placeholder = re.compile(r"%\((\w+)\)[sd]")
    for name, words in MESSAGES.items():
        wanted = set(placeholder.findall(name))
        assert set(placeholder.findall(words)) <= wanted, name
        assert len(wanted) <= 1 or set(placeholder.findall(words)) == wanted, name


def test_the_compiled_file_is_what_the_written_one_gives() -> None:
    mo = PO.with_suffix(".mo")
    assert mo.read_bytes() == mo_bytes(MESSAGES)
    with mo.open("rb") as file:
        words = gettext.GNUTranslations(file)
    assert words.gettext("Sign in") == "登录"
    assert words.ngettext("%(shown)s dataset", "%(shown)s datasets", 5) == "共 %(shown)s 项"


@pytest.mark.parametrize("kind", LABELS, ids=lambda kind: kind.__name__)
def test_every_choice_has_a_name(kind: type[Enum]) -> None:
    assert set(LABELS[kind]) == set(kind)
    with override("zh-hans"):
        assert all(re.search(r"[\u4e00-\u9fff]", label(choice)) for choice in kind)


@pytest.mark.parametrize("kind", COLOURS, ids=lambda kind: kind.__name__)
def test_every_tag_has_a_colour(kind: type[Enum]) -> None:
    assert set(COLOURS[kind]) == set(kind)


@dataclass
class Doors:
    """Only the grading scheme of an instance."""

    grading: GradingScheme


@pytest.mark.parametrize(
    ("scheme", "english", "chinese"),
    [
        ("gb-t-43697", ["General data, level 1", "General data, level 2"], ["一般数据 1 级", "一般数据 2 级"]),
        ("db52-t-1123", ["Public data", "Internal data, rank 2"], ["公开数据", "内部数据（第 2 级）"]),
    ],
)
def test_a_grade_is_called_what_the_scheme_in_force_calls_it(
    scheme: str, english: list[str], chinese: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "doors", lambda: Doors(scheme_of(scheme)))
    with override("en"):
        names = [label(grade) for grade in Grade]
        assert names[:2] == english
        assert len(set(names)) == len(names)
    with override("zh-hans"):
        assert [label(grade) for grade in Grade][:2] == chinese


@pytest.mark.parametrize(
    ("mask", "english", "chinese"),
    [
        (Mask(MaskKind.CLEAR), "As it is", "原值"),
        (Mask(MaskKind.PARTIAL, {"first": 3, "last": 4}), "First 3 and last 4 characters", "保留前3位和后4位"),
        (Mask(MaskKind.PARTIAL, {"first": 1}), "First character", "保留前1位"),
        (Mask(MaskKind.PARTIAL, {"last": 4}), "Last 4 characters", "保留后4位"),
        (Mask(MaskKind.GENERALISE, {"to": "county"}), "County only", "仅保留县级"),
        (Mask(MaskKind.GENERALISE, {"step": 10}), "In steps of 10", "按10分档"),
        (Mask(MaskKind.PSEUDONYM), "Pseudonym", "假名"),
        (Mask(MaskKind.HIDE), "Hidden", "隐藏"),
    ],
)
def test_a_mask_is_told_in_words(mask: Mask, english: str, chinese: str) -> None:
    with override("en"):
        assert mask_words(mask) == english
    with override("zh-hans"):
        assert mask_words(mask) == chinese


@pytest.mark.parametrize("type_", list(ItemType))
@pytest.mark.parametrize("grade", list(Grade))
def test_every_default_mask_has_words(type_: ItemType, grade: Grade) -> None:
    for meaning in (None, "resident-id", "person-name", "phone", "division-code", "address"):
        item = Item("item", BilingualText(zh="项", en="Item"), type_, grade, meaning)
        assert mask_words(default_mask(item))


def test_packages_are_served_from_where_npm_put_them(tmp_path: Path) -> None:
    assert package_folders(tmp_path) == []
    folder = tmp_path / "node_modules" / "htmx.org" / "dist"
    folder.mkdir(parents=True)
    assert package_folders(tmp_path) == [("htmx", folder)]
