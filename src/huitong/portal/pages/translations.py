"""From a .po file, which people write, to the .mo file that Django reads; both stand in the repository, so no tool is needed.

    python -m huitong.portal.pages.translations

writes every .mo anew. A test holds that each equals what its .po gives."""

import ast
import struct
from collections.abc import Mapping
from pathlib import Path

LOCALE = Path(__file__).parent.parent / "locale"


def read_po(text: str) -> dict[str, str]:
    """The messages of a .po file: id -> words; a plural is `one NUL many` -> the forms with NUL between them."""
    messages: dict[str, str] = {}
    entry: dict[str, str] = {}
    place = ""
    for line in [*text.splitlines(), ""]:
        line = line.strip()
        if line.startswith("#"):
            continue
        if line.startswith('"'):
            entry[place] += ast.literal_eval(line)
        elif line:
            place, _, words = line.partition(" ")
            if place == "msgid" and "msgid" in entry:
                _keep(entry, messages)
                entry = {}
            entry[place] = ast.literal_eval(words)
        elif entry:
            _keep(entry, messages)
            entry = {}
    return messages


def _keep(entry: Mapping[str, str], messages: dict[str, str]) -> None:
    forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
    if all(forms):
        plural = [entry["msgid_plural"]] if "msgid_plural" in entry else []
        messages["\0".join([entry["msgid"], *plural])] = "\0".join(forms)


def mo_bytes(messages: Mapping[str, str]) -> bytes:
    """The same messages in the form of GNU gettext's .mo files."""
    pairs = [(name.encode(), words.encode()) for name, words in messages.items()]
    pairs.sort()
    count = len(pairs)
    start = 28 + 16 * count
    tables: list[list[int]] = [[], []]
    texts = b""
    for side in (0, 1):
        for pair in pairs:
            tables[side] += [len(pair[side]), start + len(texts)]
            texts += pair[side] + b"\0"
    header = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, start)
    return header + struct.pack(f"<{4 * count}I", *tables[0], *tables[1]) + texts


def compile_all(locale: Path = LOCALE) -> list[Path]:
    """Write the .mo of every .po; which were written."""
    written = []
    for po in sorted(locale.glob("*/LC_MESSAGES/*.po")):
        mo = po.with_suffix(".mo")
        mo.write_bytes(mo_bytes(read_po(po.read_text("utf-8"))))
        written.append(mo)
    return written


if __name__ == "__main__":
    compile_all()
