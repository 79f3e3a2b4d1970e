"""Words that a person reads, in the two languages of the product."""

from dataclasses import dataclass

from huitong.errors import InputInvalid

LANGUAGES = ("en", "zh-Hans")


@dataclass(frozen=True)
class BilingualText:
    """The same words in Simplified Chinese and English; both are required."""

    zh: str
    en: str

    def __post_init__(self) -> None:
        if not self.zh.strip() or not self.en.strip():
            raise InputInvalid.because("text-missing-language", zh=self.zh, en=self.en)

    def in_language(self, language: str) -> str:
        """The words for `en` or any `zh` tag."""
        return self.zh if language.lower().startswith("zh") else self.en
