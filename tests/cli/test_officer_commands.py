"""A data officer's day on the command line, over the real API of a small instance: from a messy file to a dataset that others find."""

import ast
import csv
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from tests.api.conftest import HEZHANG, Instance, divisions, instance, seed_lake

import huitong.cli
import huitong.client
from huitong.cli.language import LANGUAGES, speak, words
from huitong.cli.root import run
from huitong.model import catalog, party, quality
from huitong.model.codes import resident_id_check_character

pytestmark = pytest.mark.slow  # for its place in the fast ring it takes too long

__all__ = ["divisions", "instance", "seed_lake"]
Run = Callable[..., tuple[int, str, str]]
SHELTER = "civil.shelter"
HEADER = "household,division,members\n"


@pytest.fixture
def huitong_(instance: Instance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs `huitong ARGUMENTS` as the data officer of civil affairs (or who is named): exit code, standard output, standard error."""
    for name in list(os.environ):
        if name.startswith("HUITONG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HUITONG_LANGUAGE", "en")
    monkeypatch.setenv("HUITONG_PROFILE", str(tmp_path / "profile.toml"))
    monkeypatch.setenv("HUITONG_URL", "http://testserver")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    real = huitong.client.Client.__init__

    def in_process(self: Any, url: str, token: str | None = None, **settings: Any) -> None:
        real(self, url, token, **{**settings, "transport": httpx.WSGITransport(app=get_wsgi_application())})

    monkeypatch.setattr(huitong.client.Client, "__init__", in_process)

    def call(*arguments: str, who: str = "officer", give: str = "") -> tuple[int, str, str]:
        monkeypatch.setenv("HUITONG_TOKEN", who)
        monkeypatch.setattr("sys.stdin", io.StringIO(give))
        speak("en")  # as a new process would
        code = run(arguments)
        out, err = capsys.readouterr()
        assert "met a fault of its own" not in err, err
        return int(code), out, err

    yield call
    speak("en")


def table(out: str) -> list[dict[str, str]]:
    """What a CSV answer holds."""
    return list(csv.DictReader(io.StringIO(out)))


def resident_id(number: int) -> str:
    seventeen = f"5205271980{1 + number % 12:02d}{1 + number % 28:02d}{number:03d}"
    return seventeen + resident_id_check_character(seventeen)


def messy() -> Path:
    """A list as an office keeps it: a title above the header, GB18030, one number written as a word."""
    file = Path("low.csv")
    rows = "".join(f"户{n:04d},{resident_id(n)},{'三' if n == 7 else 3}\n" for n in range(120))
    file.write_bytes(f"赫章县低保家庭名册,,\n户号,身份证号,人口\n{rows}".encode("gb18030"))
    return file


# --- from a file to an entry ----------------------------------------------------------------------------------------------


def test_a_file_is_looked_at_and_nothing_is_written(huitong_: Run) -> None:
    file = messy()
    code, out, err = huitong_("dataset", "inspect", str(file))
    assert (code, err) == (0, "")
    assert "Encoding: gb18030" in out
    assert "Header row: 2" in out
    assert "Rows: 120" in out
    _, chinese, _ = huitong_("dataset", "inspect", str(file), "--lang", "zh-Hans")
    assert "编码：gb18030（" in chinese and "Encoding" not in chinese
    assert resident_id(1) not in out + chinese, "no value of the file is shown"
    _, columns, _ = huitong_("dataset", "inspect", str(file), "--format", "csv")
    assert [(one["name"], one["type"]) for one in table(columns)] == [("户号", "text"), ("身份证号", "text"), ("人口", "text")]
    _, told, _ = huitong_("dataset", "inspect", str(file), "--format", "json", "--type", "人口=integer", "--header-row", "2")
    assert json.loads(told)["columns"][2]["type"] == "integer"
    assert [one.name for one in Path().iterdir()] == ["low.csv"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nothing.csv",), "nothing.csv cannot be read"),
        (("low.csv", "--encoding", "klingon"), "encoding"),
        (("low.csv", "--type", "人口=number"), "integer"),
    ],
)
def test_what_cannot_be_looked_at_is_told(huitong_: Run, arguments: tuple[str, ...], sentence: str) -> None:
    messy()
    code, out, err = huitong_("dataset", "inspect", *arguments)
    assert (code, out) == (3, "")
    assert sentence in err


def test_a_draft_is_completed_published_loaded_and_found(huitong_: Run) -> None:
    file = messy()
    draft = ("dataset", "draft", str(file), "--id", "civil.low", "--office", "gz-civil-affairs", "--type", "人口=integer")
    code, _, err = huitong_(*draft, "--output", "low.toml")
    assert code == 0
    assert "身份证号" in err
    entry = Path("low.toml")
    code, _, err = huitong_("dataset", "publish", "low.toml")
    assert code == 3
    assert "title.zh is empty. Fill it in." in err and "body" not in err
    written = "\n".join(line for line in entry.read_text("utf-8").splitlines() if not line.startswith("suggested"))
    written = re.sub(r'(zh|en) = ""', r'\1 = "低保 low"', written)
    written = written.replace('classification = ""', 'classification = "3-06-0001/000001"')
    written = written.replace('sharing_basis = ""', 'sharing_basis = "Article 21"')
    entry.write_text(written, "utf-8")
    code, _, err = huitong_("dataset", "publish", "low.toml")
    assert (code, "civil.low is in the catalogue." in err) == (0, True), err

    code, out, err = huitong_("dataset", "register", "civil.low", str(file))
    assert (code, out) == (3, "")
    assert "Line 10" in err
    code, out, err = huitong_("dataset", "register", "civil.low", str(file), "--reject-limit", "1")
    assert code == 0
    assert "119" in out and "Encoding: gb18030" in err and "huitong dataset rejects civil.low" in err
    assert "三" not in out + err
    _, out, _ = huitong_("dataset", "search", "low", "--format", "csv", who="analyst")
    assert "civil.low" in {one["dataset"] for one in table(out)}


# --- loads ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def loaded(huitong_: Run) -> Run:
    """The shelters, whose household numbers are identity numbers, loaded with one row that did not fit."""
    rows = "".join(f"{resident_id(n)},{HEZHANG},{'many' if n == 3 else 4}\n" for n in range(150))
    Path("shelter.csv").write_text(HEADER + rows, "utf-8")
    code, _, err = huitong_("dataset", "register", SHELTER, "shelter.csv", "--reject-limit", "5")
    assert code == 0, err
    assert f"huitong dataset suggestions {SHELTER}" in err
    return huitong_


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("verb", ["show", "sample", "quality", "suggestions", "snapshots", "rejects", "loads"])
def test_what_is_known_of_a_dataset_in_every_form_and_language(loaded: Run, verb: str, language: str) -> None:
    for form in ("table", "csv", "json"):
        code, out, err = loaded("dataset", verb, SHELTER, "--format", form, "--lang", language)
        assert code == 0, err
        assert out.strip()
        assert form != "json" or json.loads(out)
        assert form != "csv" or table(out)
        if form == "table":
            own = verb == "sample"  # its header is the names of the items
            assert own or bool(re.search(r"[\u4e00-\u9fff]", out.splitlines()[0])) is (language == "zh-Hans"), out


def test_rejects_name_line_reason_and_row_for_their_office_alone(loaded: Run) -> None:
    _, out, _ = loaded("dataset", "rejects", SHELTER, "--format", "csv")
    (reject,) = table(out)
    assert (reject["line"], reject["item"]) == ("5", "members")
    assert "many" in reject["row"]
    code, out, err = loaded("dataset", "rejects", SHELTER, who="analyst")
    assert (code, out) == (6, "")
    assert "many" not in err


def test_quality_in_numbers(loaded: Run) -> None:
    code, out, _ = loaded("dataset", "quality", SHELTER)
    assert code == 0
    assert "100.0 %" in out and "monthly" in out
    _, own, _ = loaded("dataset", "quality", SHELTER, "--format", "csv")
    _, other, _ = loaded("dataset", "quality", SHELTER, "--format", "csv", who="analyst")
    assert (table(own)[0]["distinct"], table(other)[0]["distinct"]) == ("149", "")


def test_suggestions_are_confirmed_or_dismissed(loaded: Run) -> None:
    code, _, err = loaded("dataset", "dismiss", SHELTER, "household", "resident-id")
    assert (code, "--words is missing." in err) == (2, True)
    code, out, _ = loaded("dataset", "confirm", SHELTER, "household", "resident-id")
    assert (code, "confirmed" in out) == (0, True)
    code, _, err = loaded("dataset", "confirm", SHELTER, "household", "resident-id")
    assert code == 7
    _, out, _ = loaded("dataset", "show", SHELTER, "--format", "json")
    assert json.loads(out)["items"][0]["meaning"] == "resident-id"


def test_a_snapshot_that_is_there_has_no_instant_of_removal(loaded: Run) -> None:
    _, out, _ = loaded("dataset", "snapshots", SHELTER)
    assert len(out.splitlines()) == 3
    assert all(line.count("UTC") == 1 for line in out.splitlines()[1:])


def test_a_refused_load_names_its_first_reason_and_how_many_more(loaded: Run) -> None:
    Path("bad.csv").write_text(HEADER + f"x,{HEZHANG},one\ny,{HEZHANG},two\n", "utf-8")
    assert loaded("dataset", "register", SHELTER, "bad.csv")[0] == 3
    _, out, _ = loaded("dataset", "loads", SHELTER)
    assert "(and 2 more)" in out
    assert max(len(line) for line in out.splitlines()) < 300


def test_rows_from_standard_input_need_to_say_what_they_are(huitong_: Run) -> None:
    code, _, err = huitong_("dataset", "register", SHELTER, "-")
    assert (code, "--kind" in err) == (3, True)


def test_a_person_is_erased_and_the_identifier_is_asked_for(loaded: Run) -> None:
    wish = ("dataset", "erase", SHELTER, "--legal-basis", "PIPL article 47", "--words", "case 2026-17")
    code, out, err = loaded(*wish, give=f"{resident_id(1)}\n")
    assert code == 130, "nothing without a yes"
    code, out, err = loaded(*wish, "--yes", "--format", "csv", give=f"{resident_id(1)}\n")
    assert code == 0, err
    assert table(out)[0] | {"version": ""} == {"dataset": SHELTER, "rows": "1", "version": "", "waiting": "[]"}
    assert resident_id(1) not in out + err


# --- plans and credentials ------------------------------------------------------------------------------------------------


def test_a_plan_is_made_listed_run_and_removed(huitong_: Run, instance: Instance) -> None:
    inbox = instance.home / "inbox" / "gz-civil-affairs"
    inbox.mkdir(parents=True)
    (inbox / "s.csv").write_text(HEADER + f"h1,{HEZHANG},3\n", "utf-8")
    made = ("load", "plan", SHELTER, "gz-civil-affairs/s.csv", "--every", "daily 02:30", "--format", "json")
    code, out, err = huitong_(*made)
    assert code == 0, err
    number = json.loads(out)["id"]
    _, out, _ = huitong_("load", "list", "--lang", "zh-Hans")
    assert number in out and "替换" in out
    code, out, _ = huitong_("load", "run", number)
    assert (code, "done" in out) == (0, True), out
    assert huitong_("load", "resume", number)[0] in (0, 7)
    code, _, err = huitong_("load", "remove", number)
    assert (code, number in err) == (0, True)
    assert "Nothing found." in huitong_("load", "list")[2]
    code, _, err = huitong_("load", "plan", SHELTER, "gz-civil-affairs/s.csv", "--every", "sometimes")
    assert code == 3, err


def test_a_table_of_a_database_is_looked_at_and_registered(huitong_: Run, instance: Instance) -> None:
    inbox = instance.home / "inbox" / "gz-civil-affairs"
    inbox.mkdir(parents=True)
    with closing(sqlite3.connect(inbox / "s.db")) as database, database:
        database.execute("CREATE TABLE shelter (household TEXT, division TEXT, members INTEGER)")
        database.executemany("INSERT INTO shelter VALUES (?, ?, ?)", [("h1", HEZHANG, 3), ("h2", HEZHANG, 4)])
    table_of = ("sqlite:///gz-civil-affairs/s.db", "--table", "shelter")
    for language in LANGUAGES:
        code, out, err = huitong_("dataset", "inspect", *table_of, "--lang", language)
        assert (code, err) == (0, "")
        assert "household" in out and "HEZHANG" not in out
    code, out, err = huitong_("dataset", "register", SHELTER, *table_of, "--format", "json")
    assert code == 0, err
    assert json.loads(out)["rows"] == 2
    code, _, err = huitong_("dataset", "inspect", "postgresql://db.example:5432/x", "--table", "t")
    assert code in (3, 6), err


def test_a_password_is_read_and_never_shown(huitong_: Run) -> None:
    kept = ("credential", "keep", "civil-db", "--database-server", "db.example:5432", "--user", "reader-of-civil")
    code, out, err = huitong_(*kept, give="correct horse\n")
    assert code == 0, err
    _, listed, _ = huitong_("credential", "list", "--format", "csv")
    assert table(listed) == [{"name": "civil-db", "server": "db.example:5432"}]
    for text in (out, err, listed):
        assert "correct horse" not in text and "reader-of-civil" not in text
    assert huitong_("credential", "forget", "civil-db")[0] == 0
    assert huitong_("credential", "forget", "civil-db")[0] == 8 or "civil-db" in huitong_("credential", "forget", "civil-db")[2]


# --- the catalogue ----------------------------------------------------------------------------------------------------------


def test_search_narrows_and_counts(huitong_: Run) -> None:
    _, out, _ = huitong_("dataset", "search", "--where", "sharing=not-shared", "--where", "sharing=conditional", "--count", "sharing")
    assert "civil.adoption" in out and "civil.household" in out and "civil.shelter" not in out
    assert out.splitlines()[-4].split() == ["Facet", "Value", "Hits"]
    _, chinese, _ = huitong_("dataset", "search", "--count", "level", "--lang", "zh-Hans")
    assert chinese.splitlines()[-1].split() == ["层级", "省级", "3"]
    code, _, err = huitong_("dataset", "search", "--where", "colour=red")
    assert (code, "office, level" in err) == (3, True)


def test_a_folder_that_was_exported_changes_nothing_until_it_is_edited(huitong_: Run) -> None:
    assert huitong_("dataset", "export", "catalogue")[0] == 0
    files = sorted(Path("catalogue").rglob("*.toml"))
    assert len(files) == 3
    code, out, err = huitong_("dataset", "apply", "catalogue")
    assert (code, out) == (0, "")
    assert "3 unchanged" in err
    _, out, _ = huitong_("dataset", "apply", "catalogue", "--format", "json")
    assert json.loads(out)["unchanged"] == 3
    files[0].write_text(files[0].read_text("utf-8").replace("Register of", "A register of"), "utf-8")
    code, out, err = huitong_("dataset", "apply", "catalogue", "--dry-run", "--lang", "zh-Hans")
    assert (code, "变更" in out) == (0, True)
    code, out, err = huitong_("dataset", "apply", "catalogue")
    assert (code, "0 added, 1 changed, 2 unchanged." in err) == (0, True), out + err
    assert huitong_("dataset", "apply", "catalogue", who="analyst")[0] == 6, "only a data officer puts entries in force"
    files[1].write_text("id = ", "utf-8")
    code, _, err = huitong_("dataset", "apply", "catalogue")
    assert (code, files[1].name in err) == (3, True)
    Path("empty").mkdir()
    assert huitong_("dataset", "apply", "empty")[0] == 3


def test_the_forms_of_others_go_to_a_file_or_to_standard_output(huitong_: Run) -> None:
    assert huitong_("dataset", "dcat", SHELTER, "--output", "s.ttl")[0] == 0
    assert "@prefix dcat:" in Path("s.ttl").read_text("utf-8")
    assert huitong_("dataset", "dcat", "--form", "jsonld", "--output", "all.jsonld")[0] == 0
    assert json.loads(Path("all.jsonld").read_text("utf-8"))["@graph"]
    assert huitong_("dataset", "guide", "--output", "guide.csv")[0] == 0
    assert Path("guide.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    code, _, err = huitong_("dataset", "guide", "--output", "no/such/folder.csv")
    assert (code, "cannot be written" in err) == (3, True)


def test_the_grading_scheme(huitong_: Run) -> None:
    code, out, err = huitong_("grading")
    assert (code, len(out.splitlines())) == (0, 7)
    assert "GB/T 43697-2024" in err
    assert "一般数据 1 级" in huitong_("grading", "--lang", "zh-Hans")[1]
    assert len(table(huitong_("grading", "--format", "csv")[1])) == 6


def test_divisions_change_and_an_office_takes_over(huitong_: Run) -> None:
    Path("changes.csv").write_text(f"old,new,day,kind,name\n{HEZHANG},{HEZHANG},2026-12-01,renamed,赫章新县\n", "utf-8")
    code, _, err = huitong_("division", "change", "changes.csv", "--dry-run", who="operator")
    assert code == 0, err
    assert "赫章县" in huitong_("division", "show", HEZHANG)[1]
    assert huitong_("division", "change", "changes.csv")[0] == 6
    assert huitong_("division", "change", "changes.csv", who="operator")[0] == 0
    assert "赫章新县" in huitong_("division", "show", HEZHANG)[1]
    wish = ("office", "succeed", "gz-civil-affairs", "gz-education", "--on", "2026-11-23", "--words", "Reform")
    code, out, err = huitong_(*wish, who="operator")
    assert code == 0, err
    assert "civil.shelter" in out


# --- words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_column_that_is_shown_has_a_title(language: str) -> None:
    speak(language)
    keys: set[str] = set()
    for file in Path(huitong.cli.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            pair = node.elts if isinstance(node, ast.Tuple) and len(node.elts) == 2 else ()
            if pair and isinstance(pair[0], ast.Constant) and isinstance(pair[0].value, str) and isinstance(pair[1], ast.Lambda):
                keys.add(pair[0].value)
    assert len(keys) > 40
    assert {key for key in keys if not words.has(f"title-{key}")} == set()
    speak("en")


CHOICES = [
    *catalog.Sharing, *catalog.Openness, *catalog.UpdateCycle, *catalog.ResourceFormat, *catalog.SharingManner, *catalog.Visibility,
    *catalog.LoadMode, *catalog.ItemType, *party.DivisionLevel, *party.Role, *(f"suggestion-{one}" for one in quality.SuggestionState),
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_choice_that_is_shown_has_a_name(language: str) -> None:
    speak(language)
    assert [str(one) for one in CHOICES if not words.has(f"value-{one}")] == []
    speak("en")
