"""The language of this call, and words in it."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files

from huitong.errors import Reason
from huitong.words import filled

LANGUAGES = ("en", "zh-Hans")


def choose(arguments: Sequence[str], environment: Mapping[str, str]) -> str:
    """`--lang` wherever it stands, then HUITONG_LANGUAGE, then the locale of the terminal; English if none says Chinese."""
    said = None
    for position, argument in enumerate(arguments):
        if argument == "--":
            break
        if argument == "--lang" and position + 1 < len(arguments):
            said = arguments[position + 1]
        elif argument.startswith("--lang="):
            said = argument.partition("=")[2]
    if said is None:
        said = environment.get("HUITONG_LANGUAGE")
    if said is None:
        said = next((environment[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(name)), "en")
    return "zh-Hans" if said.lower().startswith("zh") else "en"


@cache
def _own(language: str) -> dict[str, str]:
    """The command line's own files, `cli*.toml`: help needs no other, and starts the faster for it."""
    folder = files("huitong.words") / language
    own = sorted(entry.name for entry in folder.iterdir() if entry.name.startswith("cli"))
    return {key: text for name in own for key, text in tomllib.loads((folder / name).read_text("utf-8")).items()}


class Words:
    """Words of one language by key. `current` is that of this process: a terminal has one reader."""

    def __init__(self, language: str) -> None:
        self.language = language

    def __call__(self, key: str, /, **parameters: str | int) -> str:
        """The words of `cli-{key}` with its parameters filled in."""
        return filled(_own(self.language)[f"cli-{key}"], parameters)

    def has(self, key: str) -> bool:
        """Whether there are words for `cli-{key}`."""
        return f"cli-{key}" in _own(self.language)

    def reason(self, reason: Reason) -> str:
        """The sentence of any reason."""
        from huitong.words import render

        return render(reason, self.language)


words = Words("en")


def speak(language: str) -> None:
    """Make `language` that of this process, and of the processes it starts."""
    words.language = language
    os.environ["HUITONG_LANGUAGE"] = language
