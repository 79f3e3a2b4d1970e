"""The command line's manners, against a small API: forms of output, exit codes, full sentences, both languages."""

import base64
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import httpx
import pytest
from fake_api import RESULT, TOKEN, VKEY, FakeApi, problem, says

import huitong.client
from huitong.cli.base import Group, cells, option_words, wrap
from huitong.cli.failing import printable
from huitong.cli.language import LANGUAGES, speak, words
from huitong.cli.root import root, run
from huitong.cli.sharing import parse_items
from huitong.errors import InputInvalid, Reason
from huitong.keystore import FileKeyStore
from huitong.ledger.log import Ledger
from huitong.ledger.sequencer import Sequencer
from huitong.model.ledger import EntryKind
from huitong.testing import MemoryStores
from huitong.words import render

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def huitong_(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], api: FakeApi) -> Iterator[Run]:
    """Runs `huitong ARGUMENTS` in this process, over the small API: exit code, standard output, standard error."""
    for name in list(os.environ):
        if name.startswith("HUITONG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HUITONG_LANGUAGE", "en")
    monkeypatch.setenv("HUITONG_PROFILE", str(tmp_path / "profile.toml"))
    monkeypatch.setenv("HUITONG_URL", "http://huitong.test")
    monkeypatch.setenv("HUITONG_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    real = huitong.client.Client.__init__

    def over_fake(self: Any, url: str, token: str | None = None, **settings: Any) -> None:
        real(self, url, token, **{**settings, "transport": api})

    monkeypatch.setattr(huitong.client.Client, "__init__", over_fake)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        out, err = capsys.readouterr()
        return int(code), out, err

    yield call
    speak("en")


def all_commands() -> list[click.Command]:
    found: list[click.Command] = []

    def walk(command: click.Command) -> None:
        found.append(command)
        if isinstance(command, Group):
            for name in command.list_commands(click.Context(command)):
                sub = command.get_command(click.Context(command), name)
                assert sub is not None
                walk(sub)

    walk(root)
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_option_and_example_has_words_in_both_languages(language: str) -> None:
    speak(language)
    try:
        missing = []
        for command in all_commands():
            key = command.key  # type: ignore[attr-defined]
            needed = [f"command-{key}"] + ([] if isinstance(command, Group) and key != "huitong" else [f"example-{key}"])
            missing += [name for name in needed if not words.has(name)]
            for parameter in (one for one in command.params if not str(one.name).startswith("_click")):
                try:
                    assert getattr(parameter, "hidden", False) or option_words(command, parameter)
                except KeyError as error:
                    missing.append(str(error))
        assert missing == []
    finally:
        speak("en")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_examples_of_the_help_are_commands_that_exist(language: str) -> None:
    speak(language)
    try:
        for command in all_commands():
            if not words.has(f"example-{command.key}"):  # type: ignore[attr-defined]
                continue
            example = words(f"example-{command.key}").replace("\\\n", " ")  # type: ignore[attr-defined]
            for line in example.strip().splitlines():
                typed = [part for part in shlex.split(line) if "=" not in part.split(" ")[0] or part.startswith("-")]
                assert typed.pop(0) == "huitong"
                found: click.Command = root
                while isinstance(found, Group):
                    sub = found.get_command(click.Context(found), typed.pop(0))
                    assert sub is not None, line
                    found = sub
                known = {name for parameter in found.params for name in parameter.opts}
                assert {part for part in typed if part.startswith("--")} <= known, line
    finally:
        speak("en")


def test_help_names_commands_example_and_exit_codes(huitong_: Run) -> None:
    code, out, _ = huitong_("--help")
    assert code == 0
    for part in ("dataset", "receipt", "Example:", "Exit codes:", "9 "):
        assert part in out


def test_help_is_chinese_wherever_the_language_is_said(huitong_: Run) -> None:
    for arguments in (("--lang", "zh-Hans", "query", "--help"), ("query", "--help", "--lang=zh-Hans")):
        code, out, _ = huitong_(*arguments)
        assert code == 0
        assert "用法：" in out and "在本部门的授权之下" in out


def test_no_command_shows_help_and_is_a_usage_error(huitong_: Run) -> None:
    code, out, err = huitong_()
    assert (code, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("quary",), "There is no command quary. Did you mean: query?"),
        (("query", "SELECT 1"), "--purpose is missing."),
        (("query", "--porpose", "x"), "There is no option --porpose."),
        (("dataset", "search", "--limit", "x"), "--limit must be"),
        (("dataset", "search", "--sharing", "x"), "--sharing must be one of: unconditional, conditional, not-shared."),
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_where_help_is(
    huitong_: Run, arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = huitong_(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err and "--help" in err


def test_a_wrong_command_line_is_told_in_chinese(huitong_: Run) -> None:
    code, _, err = huitong_("query", "SELECT 1", "--lang", "zh-Hans")
    assert code == 2
    assert "缺少 --purpose。" in err


# --- forms of output ------------------------------------------------------------------------------------------------------


def test_a_list_is_plain_when_piped_and_says_how_much_more_there_is(huitong_: Run) -> None:
    code, out, err = huitong_("dataset", "search", "低保")
    assert code == 0
    assert out.splitlines()[0].split() == ["Dataset", "Title", "Providing", "office", "Sharing", "Items", "Grade"]
    assert "\x1b" not in out and "│" not in out
    assert "1 of 7 shown" in err


def test_a_list_in_chinese(huitong_: Run) -> None:
    _, out, err = huitong_("dataset", "search", "低保", "--lang", "zh-Hans")
    assert "低保家庭" in out and "民政厅" in out and "有条件共享" in out
    assert "7 条中的 1 条" in err


def test_csv_and_json_are_for_programs(huitong_: Run) -> None:
    _, out, err = huitong_("dataset", "search", "--format", "csv", "--lang", "zh-Hans")
    assert out.splitlines()[0] == "dataset,title,provider,sharing,item_count,grade"
    assert err == ""
    _, out, _ = huitong_("--format", "json", "dataset", "search")
    assert json.loads(out)["datasets"][0]["id"] == "civil.low_income"


def test_a_query_writes_the_exact_bytes_csv_or_parquet(huitong_: Run, tmp_path: Path) -> None:
    for name in ("r.arrow", "r.csv", "r.parquet"):
        code, out, err = huitong_("query", "SELECT 1", "--purpose", "p", "--output", name, "--receipt", "receipt.json")
        assert (code, out) == (0, ""), err
        assert "receipt get q1" in err
    assert (tmp_path / "r.arrow").read_bytes() == RESULT
    assert (tmp_path / "r.csv").read_text("utf-8") == "county,n\n南明区,3\n=SUM(1),\n"
    from pyarrow import parquet

    assert parquet.read_table(tmp_path / "r.parquet").to_pydict() == {"county": ["南明区", "=SUM(1)"], "n": [3, None]}
    assert json.loads((tmp_path / "receipt.json").read_text("utf-8"))["format"] == "huitong-receipt/1"


RUNNING = {
    "query": "q-1", "since": "2026-12-01T14:22:00Z", "using_office": {"id": "gz-education", "title": {"zh": "教育", "en": "Education"}},
    "person": "wen", "post": "wen@gz-education", "purpose": "education", "datasets": ["civil.shelter"], "door": "query",
    "cancelled_by": None,
}  # fmt: skip


def test_running_uses_are_listed_and_cancelled_in_both_languages(huitong_: Run, api: FakeApi) -> None:
    api.answers[("GET", "queries/running")] = says({"uses": [RUNNING], "total": 1, "limit": 20, "offset": 0})
    api.answers[("POST", "queries/q-1/cancel")] = says({**RUNNING, "cancelled_by": "wen"})
    code, out, err = huitong_("use", "running")
    assert code == 0, err
    assert {"q-1", "wen", "civil.shelter", "Cancelled"} <= set(out.split())
    assert "取消人" in huitong_("use", "running", "--lang", "zh-Hans")[1]
    code, out, err = huitong_("use", "cancel", "q-1", "--format", "json")
    assert (code, json.loads(out)["cancelled_by"]) == (0, "wen"), err
    assert api.requests[-1].headers["Idempotency-Key"]


def test_a_cancelled_query_is_told_without_advice_about_rights(huitong_: Run, api: FakeApi) -> None:
    told = ("query-cancelled", "Query q-1 was cancelled by wen.")
    api.answers[("POST", "query")] = lambda _: problem("refused", 403, told, query="q-1")
    code, _, err = huitong_("query", "SELECT 1", "--purpose", "p")
    assert (code, err) == (6, "Refused: (query q-1)\n  - Query q-1 was cancelled by wen.\n")


def test_an_unknown_ending_is_told_before_anything_runs(huitong_: Run, api: FakeApi) -> None:
    code, _, err = huitong_("query", "SELECT 1", "--purpose", "p", "--output", "r.xlsx")
    assert code == 3
    assert ".arrow, .parquet, .csv, .json or .jsonl" in err
    code, _, err = huitong_("query", "SELECT 1", "--purpose", "p", "--output", "nowhere/r.csv")
    assert code == 3 and "cannot be written" in err
    assert api.requests == []


def test_results_and_lists_go_as_bytes_into_a_pipe(huitong_: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    import pyarrow as pa
    from pyarrow import parquet

    def piped(*arguments: str) -> bytes:
        pipe = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(pipe, write_through=True))
        assert run(arguments) == 0
        return pipe.getvalue()

    query = ("query", "SELECT 1", "--purpose", "p", "--format")
    assert piped(*query, "arrow") == RESULT
    table = parquet.read_table(pa.BufferReader(piped(*query, "parquet")))
    assert table.to_pydict() == {"county": ["南明区", "=SUM(1)"], "n": [3, None]}
    for form, read in (("parquet", parquet.read_table), ("arrow", lambda file: pa.ipc.open_stream(file).read_all())):
        table = read(pa.BufferReader(piped("dataset", "search", "--format", form)))
        assert table.to_pylist()[0]["dataset"] == "civil.low_income"
        assert table.schema.field("grade").type == pa.int64() and table.schema.field("provider").type == pa.string()


def test_bytes_are_never_thrown_at_a_terminal(huitong_: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, out, err = huitong_("query", "SELECT 1", "--purpose", "p", "--format", "parquet")
    assert (code, out) == (3, "")
    assert "--output FILE" in err
    assert api.requests == []


def test_any_command_writes_into_a_file_whole_or_not_at_all(huitong_: Run, api: FakeApi, tmp_path: Path) -> None:
    code, out, err = huitong_("dataset", "search", "--output", "found.csv")
    assert (code, out) == (0, "") and "found.csv" in err
    assert (tmp_path / "found.csv").read_text("utf-8").startswith("dataset,title")
    assert huitong_("whoami", "--format", "table", "--output", "me.txt")[0] == 0
    assert "李雨桐" in (tmp_path / "me.txt").read_text("utf-8")
    api.answers[("GET", "datasets")] = lambda request: problem("unavailable", 503, ("x", "Busy."))
    assert huitong_("dataset", "search", "--output", "found.csv")[0] == 8
    assert (tmp_path / "found.csv").read_text("utf-8").startswith("dataset,title")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.csv", "me.txt"]


def test_json_comes_with_one_entry_a_line_if_wanted(huitong_: Run, tmp_path: Path) -> None:
    _, out, _ = huitong_("query", "SELECT 1", "--purpose", "p", "--nl")
    assert [json.loads(line) for line in out.splitlines()] == [{"county": "南明区", "n": 3}, {"county": "=SUM(1)", "n": None}]
    assert huitong_("dataset", "search", "--output", "found.jsonl")[0] == 0
    (line,) = (tmp_path / "found.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line)["id"] == "civil.low_income"


# --- what comes from standard input ---------------------------------------------------------------------------------------


def test_a_request_may_come_from_a_file_or_from_standard_input(
    huitong_: Run, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    wish = {"dataset": "a.b", "purpose": "p", "legal_basis": "l", "items": [{"item": "x"}], "until": "2027-01-01", "mode": "rows"}
    api.answers[("POST", "requests")] = says({"id": "R-1", "state": "withdrawn"})
    monkeypatch.setattr("huitong.cli.sharing.show_request", lambda found: None)
    (tmp_path / "wish.json").write_text(json.dumps(wish))
    assert huitong_("request", "submit", "--from", "wish.json")[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(wish)))
    assert huitong_("request", "submit", "c.d", "--from", "-", "--until", "2027-06-30", "--item", "y:hide")[0] == 0
    assert json.loads(api.requests[0].content) == wish
    stated = {"dataset": "c.d", "until": "2027-06-30", "items": [{"item": "y", "mask": {"kind": "hide", "parameters": {}}}]}
    assert json.loads(api.requests[1].content) == wish | stated
    (tmp_path / "wish.json").write_text("dataset = 1")
    code, _, err = huitong_("request", "submit", "--from", "wish.json")
    assert code == 3 and "wish.json" in err
    code, _, err = huitong_("request", "submit", "a.b", "--purpose", "p", "--legal-basis", "l", "--item", "x")
    assert code == 2 and "--until" in err


def test_entries_tables_and_changes_may_come_from_standard_input(
    huitong_: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    def give(content: str) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))

    api.answers[("POST", "catalog/apply")] = says({"added": ["a.b"], "changed": [], "unchanged": 0, "skipped": [], "applied": True})
    give(json.dumps({"entries": [{"id": "a.b", "published_on": "2026-01-01"}]}))
    assert huitong_("dataset", "apply", "-")[0] == 0
    assert json.loads(api.requests[-1].content)["entries"] == [{"id": "a.b"}]
    give("not json")
    assert huitong_("dataset", "apply", "-")[0] == 3
    give("code,name\n1,a\n")
    code, out, err = huitong_("dataset", "inspect", "-", "--kind", "csv", "--format", "csv")
    assert code == 0, err
    assert [line.split(",")[0] for line in out.splitlines()] == ["name", "code", "name"]
    assert huitong_("dataset", "inspect", "-")[0] == 3
    give("code,name\n1,a\n")
    code, out, err = huitong_("dataset", "draft", "-", "--kind", "csv", "--id", "a.b", "--office", "gz")
    assert code == 0 and 'id = "a.b"' in out, err
    api.answers[("POST", "division-changes")] = says({"changes": 1, "dry_run": True, "grants_to_look_at": []})
    give("\ufeffold,new,day,kind\n")
    assert huitong_("division", "change", "-", "--dry-run")[0] == 0
    assert json.loads(api.requests[-1].content)["changes"] == "old,new,day,kind\n"


def test_a_statement_may_come_from_standard_input(huitong_: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT 2"))
    assert huitong_("query", "-", "--purpose", "p")[0] == 0
    assert json.loads(api.requests[0].content)["sql"] == "SELECT 2"


def test_nothing_from_afar_can_steer_the_terminal() -> None:
    assert printable("a\x1b[31mb\u202ec\x00\r\n") == "a\\u001b[31mb\\u202ec\\u0000\\u000d\\u000a"
    assert printable("低保 é") == "低保 é"


# --- causes and exit codes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("failure", 500, 1),
        ("input-invalid", 422, 3),
        ("not-found", 404, 4),
        ("not-signed-in", 401, 5),
        ("refused", 403, 6),
        ("conflict", 409, 7),
        ("unavailable", 503, 8),
        ("ledger-broken", 500, 9),
    ],
)
def test_one_exit_code_for_each_cause_with_all_reasons(huitong_: Run, api: FakeApi, kind: str, status: int, code: int) -> None:
    reasons = (("first-reason", "The first reason."), ("second-reason", "The second reason."))
    api.answers[("POST", "query")] = lambda request: problem(kind, status, *reasons, query="q9")
    found, out, err = huitong_("query", "SELECT 1", "--purpose", "p")
    assert (found, out) == (code, "")
    assert "  - The first reason.\n  - The second reason.\n" in err
    assert "Traceback" not in err


def test_the_purposes_are_listed_in_the_language_of_the_reader(huitong_: Run, api: FakeApi) -> None:
    api.answers[("GET", "purposes")] = says({"purposes": [{"code": "audit", "title": {"zh": "审计监督", "en": "Audit"}}]})
    assert huitong_("purpose", "list")[1].split() == ["Code", "Title", "audit", "Audit"]
    assert "审计监督" in huitong_("purpose", "list", "--lang", "zh-Hans")[1]
    assert huitong_("purpose", "list", "--format", "csv", "--lang", "en")[1] == "code,title\naudit,Audit\n"


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_mask_that_needs_a_word_says_how_the_word_is_given(language: str) -> None:
    assert "`--weaker-mask phone`" in render(Reason("mask-needs-word", {"item": "phone", "default": "hide"}), language)


def test_a_right_that_is_not_ready_yet_is_for_trying_again(huitong_: Run, api: FakeApi) -> None:
    waits, never = ("grant-preparing", "Its pseudonyms are still being built."), ("grant-missing", "No grant.")
    api.answers[("POST", "query")] = lambda request: problem("refused", 403, waits, query="q9")
    code, _, err = huitong_("query", "SELECT 1", "--purpose", "p")
    assert code == 8 and "try again" in err
    api.answers[("POST", "query")] = lambda request: problem("refused", 403, waits, never, query="q9")
    assert huitong_("query", "SELECT 1", "--purpose", "p")[0] == 6


def test_what_to_do_about_a_refusal_is_said_where_data_were_asked_for(huitong_: Run, api: FakeApi) -> None:
    for address in ("query", "why", "requests/r1/approve"):
        api.answers[("POST", address)] = lambda request: problem("refused", 403, ("some-reason", "No."))
    assert "dataset show" in huitong_("query", "SELECT 1", "--purpose", "p")[2]
    assert "dataset show" in huitong_("why", "SELECT 1", "--purpose", "p")[2]
    code, _, err = huitong_("request", "approve", "r1")
    assert code == 6 and "  - No.\n" in err and "dataset show" not in err


@pytest.mark.parametrize("format_", ["table", "csv", "json", "arrow", "help"])
def test_a_reader_who_has_seen_enough_ends_the_command_quietly(format_: str, tmp_path: Path) -> None:
    arguments = ["--help"] if format_ == "help" else ["dataset", "search", "--format", format_]
    program = "import sys; from huitong.cli.root import run; import fake_api, huitong.client as c; real = c.Client.__init__\n"
    program += "def over(self, url, token=None, **s): real(self, url, token, **{**s, 'transport': fake_api.FakeApi()})\n"
    program += f"c.Client.__init__ = over; sys.stdin.read(); sys.exit(run({arguments!r}))"
    surroundings = {"HUITONG_URL": "http://huitong.test", "HUITONG_TOKEN": TOKEN, "HUITONG_PROFILE": str(tmp_path / "profile.toml")}
    surroundings |= {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, env=surroundings, cwd=tmp_path) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdout.close()
        process.stdin.close()
        assert (process.stderr.read(), process.wait()) == (b"", 141)


def test_a_file_that_is_not_there_is_named(huitong_: Run) -> None:
    code, _, err = huitong_("calendar", "set", "no-such.toml")
    assert code == 2 and "no-such.toml" in err


def test_one_is_one_and_an_empty_default_is_none() -> None:
    assert render(Reason("rows-cut", {"rows": 1}), "en").startswith("Only the first 1 row is shown.")
    assert words("query-done", query="q", rows=1).startswith("Query q: 1 row.")
    assert words("query-done", query="q", rows=2).startswith("Query q: 2 rows.")
    for command in all_commands():
        assert "[default: ]" not in command.get_help(click.Context(command))


def test_a_refusal_as_json_holds_codes_and_sentences(huitong_: Run, api: FakeApi) -> None:
    api.answers[("POST", "query")] = lambda request: problem("refused", 403, ("grant-missing", "No grant."), query="q9")
    code, _, err = huitong_("query", "SELECT 1", "--purpose", "p", "--format", "json")
    said = json.loads(err)
    assert code == said["exit"] == 6
    assert (said["error"], said["query"], said["reasons"][0]["code"]) == ("refused", "q9", "grant-missing")


def test_why_ends_with_6_if_the_statement_would_be_refused(huitong_: Run) -> None:
    code, out, _ = huitong_("why", "SELECT 1", "--purpose", "p")
    assert code == 6
    assert "would be refused" in out and "No grant covers it." in out


def test_why_ends_with_8_if_only_the_time_is_missing(huitong_: Run, api: FakeApi) -> None:
    waits = {"code": "grant-preparing", "parameters": {}, "text": "Its pseudonyms are still being built."}
    api.answers[("POST", "why")] = says({"allowed": False, "reasons": [waits], "datasets": []})
    assert huitong_("why", "SELECT 1", "--purpose", "p")[0] == 8


def test_without_any_door_the_whole_search_is_told(huitong_: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUITONG_URL")
    code, _, err = huitong_("whoami")
    assert code == 4
    for place in ("--server", "--home", "HUITONG_URL", "HUITONG_HOME", "profile.toml", "huitong-instance"):
        assert place in err


def test_without_a_token_nothing_is_sent(huitong_: Run, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUITONG_TOKEN")
    code, _, err = huitong_("whoami")
    assert code == 5
    assert "HUITONG_TOKEN" in err and api.requests == []


def test_a_fault_of_our_own_shows_its_kind_and_no_trace(huitong_: Run, api: FakeApi) -> None:
    api.answers[("GET", "datasets")] = says({"total": 1, "datasets": [{"secret": "value"}]})
    code, _, err = huitong_("dataset", "search")
    assert code == 1
    assert "KeyError" in err and "secret" not in err and "Traceback" not in err


# --- signing in -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    import io

    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_login_keeps_the_token_in_a_private_file_and_pins_the_ledger_key(
    huitong_: Run, typed: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUITONG_TOKEN")
    typed(TOKEN + "\n")
    code, _, err = huitong_("login", "http://huitong.test")
    assert code == 0 and TOKEN not in err and VKEY in err
    assert stat.S_IMODE((tmp_path / "profile.toml").stat().st_mode) == 0o600
    monkeypatch.delenv("HUITONG_URL")
    assert huitong_("whoami")[0] == 0


def test_a_token_is_never_sent_to_another_door(
    huitong_: Run, typed: Callable[[str], None], api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HUITONG_TOKEN")
    typed(TOKEN)
    huitong_("login", "http://huitong.test")
    api.requests.clear()
    code, _, _ = huitong_("--server", "http://other.test", "whoami")
    assert code == 5 and api.requests == []


def test_a_changed_ledger_key_is_loud_and_stores_nothing(
    huitong_: Run, typed: Callable[[str], None], api: FakeApi, tmp_path: Path
) -> None:
    typed(TOKEN)
    assert huitong_("login", "http://huitong.test")[0] == 0
    before = (tmp_path / "profile.toml").read_text("utf-8")
    api.answers[("GET", "ledger/key")] = lambda request: httpx.Response(200, text="huitong.local/demo+11111111+BBBB\n")
    typed(TOKEN)
    code, _, err = huitong_("login", "http://huitong.test")
    assert code == 7
    assert "THE LEDGER'S KEY HAS CHANGED" in err and VKEY in err and "BBBB" in err
    assert (tmp_path / "profile.toml").read_text("utf-8") == before
    typed(TOKEN)
    assert huitong_("login", "http://huitong.test", "--accept-new-ledger-key")[0] == 0


def test_a_key_change_that_the_pinned_key_signed_is_followed_without_alarm(
    huitong_: Run, typed: Callable[[str], None], api: FakeApi, tmp_path: Path
) -> None:
    now, keys = datetime(2026, 3, 2, tzinfo=UTC), FileKeyStore(tmp_path / "keys")
    keys.create(["ledger"])
    ledger = Ledger(MemoryStores().ledger, keys, lambda: now, origin="huitong.local/demo", alarm_seconds=10, stop_seconds=300)
    api.answers[("GET", "ledger/key")] = lambda request: httpx.Response(200, text=ledger.vkey() + "\n")
    api.answers[("GET", "ledger/keys")] = lambda request: httpx.Response(200, text=ledger.published_keys())
    typed(TOKEN)
    assert huitong_("login", "http://huitong.test")[0] == 0
    for _ in range(2):
        ledger.change_key(keystore=keys, overlap_seconds=300, body={})
    typed(TOKEN)
    code, _, err = huitong_("login", "http://huitong.test")
    assert code == 0 and "CHANGED" not in err and ledger.vkey() in err
    typed(TOKEN)
    assert huitong_("login", "http://huitong.test")[0] == 0
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps(ledger.receipt([promise.entry for promise in ledger.store.pending(2)])), "utf-8")
    assert huitong_("receipt", "verify", str(receipt))[0] == 0, "the pinned keys are those of before and of now"
    assert huitong_("ledger", "keys")[1] == ledger.published_keys()


def test_a_witness_goes_on_looking_and_stops_where_the_ledger_forked(
    huitong_: Run, api: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def grown(word: str, entries: int) -> Ledger:
        ledger = Ledger(MemoryStores().ledger, keys, lambda: now, origin="huitong.local/demo", alarm_seconds=10, stop_seconds=300)
        for number in range(entries):
            ledger.append(kind=EntryKind.OPERATOR_ACTION, body={"word": word, "number": number})
        Sequencer(ledger.store, keys, lambda: now, origin="huitong.local/demo").fold_all()
        return ledger

    def consistency(request: httpx.Request) -> httpx.Response:
        path = shown[0].consistency(int(request.url.params["first"]), int(request.url.params["second"]))
        return httpx.Response(200, json={"path": [base64.b64encode(node).decode() for node in path]})

    now, keys = datetime(2026, 3, 2, tzinfo=UTC), FileKeyStore(tmp_path / "keys")
    keys.create(["ledger"])
    grows, fork = grown("a", 3), grown("b", 9)
    shown = [grows]
    api.answers[("GET", "ledger/keys")] = lambda request: httpx.Response(200, text=shown[0].published_keys())
    api.answers[("GET", "ledger/checkpoint")] = lambda request: httpx.Response(200, text=shown[0].published_checkpoint() or "")
    api.answers[("GET", "ledger/consistency")] = consistency
    pauses = []

    def pause(seconds: float) -> None:
        """Between two looks: the ledger grows, then takes the line, then shows another history."""
        pauses.append(seconds)
        if len(pauses) == 1:
            grows.append(kind=EntryKind.OPERATOR_ACTION, body={})
            Sequencer(grows.store, keys, lambda: now, origin="huitong.local/demo").fold_all()
            api.answers[("POST", "ledger/cosignatures")] = says({"size": 4, "witnesses": []})
        elif len(pauses) == 2:
            shown[0] = fork
        else:
            raise KeyboardInterrupt

    monkeypatch.setattr("huitong.cli.witnessing.time.sleep", pause)
    (tmp_path / "log.vkeys").write_text(grows.vkey() + "\n", "utf-8")
    key = str(tmp_path / "w.key")
    made = huitong_("ledger", "witness-key", "audit.example/witness", "--key", key)[1].strip()
    look = ("ledger", "witness", "--log", "http://huitong.test", "--key", key, "--log-key", str(tmp_path / "log.vkeys"))
    code, out, err = huitong_(*look, "--every", "60")
    assert (code, pauses) == (9, [60.0, 60.0]) and "FORKED" in err
    assert [line.split()[1] for line in out.splitlines()] == [made.split("+")[0]] * 2, "a log that does not answer hinders nothing"
    code, out, _ = huitong_(*look, "--keep")
    assert (code, out) == (9, "")
    shown[0] = grows
    assert huitong_(*look, "--every", "60")[0] == 0, "stopped by hand"
    sent = [request for request in api.requests if request.method == "POST"]
    assert all("Idempotency-Key" not in request.headers for request in sent) and sent


def test_a_profile_that_others_can_read_is_refused(huitong_: Run, typed: Callable[[str], None], tmp_path: Path) -> None:
    typed(TOKEN)
    huitong_("login", "http://huitong.test")
    (tmp_path / "profile.toml").chmod(0o644)
    code, _, err = huitong_("whoami")
    assert code == 3 and "0644" in err and TOKEN not in err


def test_a_wrong_token_is_not_kept(huitong_: Run, typed: Callable[[str], None], tmp_path: Path) -> None:
    typed("ht_wrong")
    assert huitong_("login", "http://huitong.test")[0] == 5
    assert not (tmp_path / "profile.toml").exists()


# --- small parts ----------------------------------------------------------------------------------------------------------


def test_items_with_masks_are_read_and_all_wrong_ones_are_told_at_once() -> None:
    assert parse_items(["name phone:partial:first=3,last=4", "born:generalise:to=year", "id:pseudonym"]) == [
        {"item": "name"},
        {"item": "phone", "mask": {"kind": "partial", "parameters": {"first": 3, "last": 4}}},
        {"item": "born", "mask": {"kind": "generalise", "parameters": {"to": "year"}}},
        {"item": "id", "mask": {"kind": "pseudonym", "parameters": {}}},
    ]
    with pytest.raises(InputInvalid) as caught:
        parse_items(["a:b:c", "ok", ":x"])
    assert len(caught.value.reasons) == 2


def test_chinese_lines_are_broken_by_their_width() -> None:
    lines = wrap("各部门在同一份可执行的授权之下查找、获得和使用数据，每次使用皆有凭证。", 30)
    assert all(cells(line) <= 32 for line in lines)
    assert not any(line.startswith(("，", "。", "、")) for line in lines)
    assert "".join(lines) == "各部门在同一份可执行的授权之下查找、获得和使用数据，每次使用皆有凭证。"
    assert wrap("one two three", 7) == ["one two", "three"]


def test_help_starts_fast() -> None:
    """Under 0.3 s on a quiet machine; here the cause is tested: nothing heavy is imported for it."""
    import subprocess
    import sys

    code = (
        "import sys; from huitong.cli.root import run; run(['--help']);"
        "print([m for m in ('httpx', 'django', 'pyarrow', 'duckdb', 'rich', 'sqlglot') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_ledger_tells_everybody_how_it_stands(huitong_: Run, api: FakeApi) -> None:
    status = {"size": 7, "pending": 0, "oldest_pending_seconds": None, "alarm": False, "stopped": False, "checkpoint_at": None}
    api.answers[("GET", "ledger/status")] = says(status)
    api.answers[("GET", "ledger/checkpoint")] = lambda request: httpx.Response(200, text="huitong.local/demo\n7\nAAAA\n")
    assert json.loads(huitong_("ledger", "status", "--served", "--format", "json")[1]) == status
    api.answers[("GET", "ledger/status")] = says({**status, "alarm": True})
    assert huitong_("ledger", "status", "--served")[0] == 8
    assert huitong_("ledger", "checkpoint")[1] == "huitong.local/demo\n7\nAAAA\n"
    assert huitong_("ledger", "key")[1] == f"{VKEY}\n"
