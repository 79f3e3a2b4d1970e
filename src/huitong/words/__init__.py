"""Sentences for reasons, in both languages: `render` is called at the edge, never inside the core."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from huitong.errors import Reason


@cache
def sentences(language: str) -> dict[str, str]:
    """Every code with its sentence for `en` or `zh-Hans`, from the TOML files beside this one (several files a language)."""
    folder = files(__name__) / ("zh-Hans" if language.lower().startswith("zh") else "en")
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            for code, sentence in tomllib.loads(file.read_text("utf-8")).items():
                if code in found:
                    raise ValueError(f"reason {code} stands in two files of {folder}")
                found[code] = sentence
    return found


def render(reason: Reason, language: str) -> str:
    """The reason as a sentence. A code without words shows itself and its parameters rather than nothing."""
    sentence = sentences(language).get(reason.code)
    if sentence is None:
        return reason.code + (" " + ", ".join(f"{k}={v}" for k, v in reason.parameters.items()) if reason.parameters else "")
    parameters = dict(reason.parameters)
    if "role" in parameters:
        parameters["role"] = sentences(language).get(f"cli-value-{parameters['role']}", parameters["role"])
    return filled(sentence, parameters)


def filled(sentence: str, parameters: Mapping[str, str | int]) -> str:
    """The sentence with its parameters. `{rows:row/rows}` is the first word for 1 and the second for every other number."""
    return sentence.format_map(_Shown({name: _Counted(value) for name, value in parameters.items()}))


class _Counted(str):
    """A parameter's text, which chooses between the words for one and for many."""

    __slots__ = ()

    def __format__(self, spec: str) -> str:
        one, several, many = spec.partition("/")
        if several:
            return one if self == "1" else many
        return super().__format__(spec)


class _Shown(dict[str, str]):
    """Parameters of a sentence; one that is missing shows its name rather than hiding the sentence behind a fault."""

    def __missing__(self, name: str) -> str:
        return f"({name})"
