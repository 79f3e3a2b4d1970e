"""What the house promises about itself: words in both languages, documented settings and commands, no leftovers of a machine."""

import ast
import re
import string
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import click
import pytest

from huitong.cli.language import speak
from huitong.cli.root import root
from huitong.settings import Settings
from huitong.words import sentences

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "huitong"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)
CORE = [path for path in MODULES if path.relative_to(SOURCE).parts[0] not in ("portal", "cli")]
RAISERS = {"because", "Reason"}


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def codes_in_source() -> dict[str, str]:
    """Every reason code that the source names as a literal, with the file that names it."""
    found: dict[str, str] = {}
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            first = node.args[0]
            if name in RAISERS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.setdefault(first.value, str(module.relative_to(ROOT)))
    return found


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_every_reason_has_words_in_both_languages() -> None:
    assert sentences("en").keys() == sentences("zh-Hans").keys()
    missing = {code: place for code, place in codes_in_source().items() if code not in sentences("en")}
    assert not missing


def test_both_languages_say_the_same_things() -> None:
    different = {code for code in sentences("en") if placeholders(sentences("en")[code]) != placeholders(sentences("zh-Hans")[code])}
    assert not different


def test_chinese_words_are_chinese() -> None:
    chinese = {code: words for code, words in sentences("zh-Hans").items() if not code.startswith("cli-example-")}
    assert not {code for code, words in chinese.items() if re.sub(r"{\w+}", "", words).strip() and not re.search(r"[\u4e00-\u9fff]", words)}


def test_chinese_sentences_have_full_width_punctuation() -> None:
    """Half-width marks stand in code (between backticks) and beside Latin words alone, never between Chinese characters."""
    chinese = r"\u3000-\u303f\u4e00-\u9fff\uff00-\uffef"
    half = re.compile(rf"(?<=[{chinese}}}”])[,;:!?](?=\s*[{chinese}{{“])|[\u4e00-\u9fff]\(|\)[\u4e00-\u9fff]")
    pages = [*(SOURCE / "words" / "zh-Hans").glob("*.toml"), *SOURCE.glob("**/zh_Hans/**/*.po"), SOURCE / "policy" / "odrl.toml"]
    assert len(pages) > 30
    offenders = []
    for page in pages:
        for number, line in enumerate(page.read_text("utf-8").splitlines(), start=1):
            if half.search(re.sub("`[^`]*`", "`", line)):
                offenders.append(f"{page.relative_to(SOURCE)}:{number}: {line}")
    assert not offenders


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_module_says_what_it_is_for(module: Path) -> None:
    tree = ast.parse(module.read_text("utf-8"))
    assert not tree.body or ast.get_docstring(tree), "a module docstring is missing"


@pytest.mark.parametrize("module", CORE, ids=lambda path: str(path.relative_to(SOURCE)))
def test_public_names_of_the_core_have_a_docstring(module: Path) -> None:
    def undocumented(body: list[ast.stmt], owner: str = "") -> list[str]:
        names = []
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if not ast.get_docstring(node):
                    names.append(owner + node.name)
                if isinstance(node, ast.ClassDef):
                    names += undocumented(node.body, f"{node.name}.")
        return names

    assert not undocumented(ast.parse(module.read_text("utf-8")).body)


def test_the_core_reads_no_clock_and_no_environment_of_its_own() -> None:
    """Time, randomness of keys and settings are arguments; only settings.py reads the environment."""
    offenders = []
    for module in CORE:
        # an engine process empties its own environment, and a probe looks whether it is empty
        if module.name == "settings.py" or module.parent.name == "engines":
            continue
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            text = ast.unparse(node) if isinstance(node, ast.Attribute) else ""
            if text in ("os.environ", "datetime.now", "datetime.utcnow", "date.today", "time.time"):
                offenders.append(f"{module.relative_to(SOURCE)}:{node.lineno} {text}")
    assert not offenders


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    missing = [entry.name for entry in fields(Settings) if entry.name not in ("home", "origins") and f"`{entry.name}`" not in page]
    assert not missing


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    page = (ROOT / "docs" / "decisions" / "0006-dependencies.md").read_text("utf-8")
    names = [re.split(r"[\[<>=~!;]", line)[0].strip() for line in project["project"]["dependencies"]]
    assert not [name for name in names if name not in page]


def test_decisions_are_listed() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text("utf-8")
    assert not [page.name for page in folder.glob("0*.md") if page.name not in index]


def test_glossary_speaks_both_languages() -> None:
    rows = [line.split("|")[1:-1] for line in (ROOT / "GLOSSARY.md").read_text("utf-8").splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 20
    for row in rows:
        assert re.search(r"[\u4e00-\u9fff]", row[1]), row
        assert re.search(r"[\u4e00-\u9fff]", row[3]), row


def test_security_page_names_files_that_exist() -> None:
    page = (ROOT / "SECURITY.md").read_text("utf-8")
    named = re.findall(r"`((?:src|tests)/[^`]+)`", page)
    assert len(named) > 10
    assert not [name for name in named if not (ROOT / name).exists()]


def test_nothing_of_a_machine_or_a_registry_is_committed() -> None:
    forbidden = [
        r"files\.pythonhosted\.org", r"\bpypi\.org", r"registry\.npmjs\.org", r"deb\.debian\.org",
        r"(?<![\w.])/work/", r"(?<![\w.])/root/", r"--(extra-)?index-url",
    ]
    pattern = re.compile("|".join(forbidden))
    offenders = []
    for path in tracked_files():
        if path == Path(__file__) or path.name == "Makefile":
            continue
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        offenders += [f"{path.relative_to(ROOT)}: {match.group()}" for match in pattern.finditer(text)]
    assert not offenders


def test_no_large_file_is_committed() -> None:
    assert not [path for path in tracked_files() if path.stat().st_size > 1_000_000]


def test_no_test_is_skipped() -> None:
    pattern = re.compile(r"pytest\.(mark\.)?(skip|skipif|xfail|importorskip)\b")
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    assert not [str(path.relative_to(ROOT)) for path in tests if pattern.search(path.read_text("utf-8"))]


def test_generated_reference_pages_are_up_to_date() -> None:
    done = subprocess.run([sys.executable, "docs/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_every_command_has_help_with_an_example(language: str) -> None:
    speak(language)
    try:
        without = list(commands_without_example(root, "huitong"))
    finally:
        speak("en")
    assert not without


def commands_without_example(command: click.Command, path: str) -> Iterator[str]:
    """Commands whose help lacks an example; asking for the help finds words that are missing or broken."""
    context = click.Context(command, info_name=path)
    text = command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands_without_example(found, f"{path} {name}")
    elif not re.search(rf"^  (\S+=\S+ )*{path}", text, re.MULTILINE):
        yield path
