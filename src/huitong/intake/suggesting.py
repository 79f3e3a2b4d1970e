"""What recognisers suggest: grades and masks for the items of a dataset, and a draft of an entry for a file. A person decides on each."""

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from huitong.errors import InputInvalid, Reason
from huitong.intake.recognisers import SAMPLE, Evidence, Recognition, recognise, rules
from huitong.intake.source import ReadingColumn, SourceTable
from huitong.model.catalog import Dataset, Grade, Item, ResourceFormat
from huitong.model.codes import is_dataset_name, is_item_name
from huitong.model.quality import GradingSuggestion
from huitong.model.text import BilingualText
from huitong.policy.schemes import GradingScheme
from huitong.words import render

TO_WRITE = ""
"""Stands in a draft where a person has to write: publishing refuses an entry in which one is left."""


def suggest(item: Item, recognitions: Sequence[Recognition], scheme: GradingScheme) -> GradingSuggestion | None:
    """The meaning that was recognised most surely, with the grade that the recognisers' rules and the scheme's floor ask for and the mask
    that the scheme gives it then; None if nothing was recognised or the item says and has as much already.

    Where a person has stated that very meaning, its grade is theirs to choose from the scheme's floor on; a grade is never suggested
    lower than the item's. An item that states one of the meanings recognised (or a wider one) keeps it, and what a person stated is
    contradicted by a check character or a list alone, never by a shape."""
    if not recognitions:
        return None
    stated = rules().get(item.meaning or "")
    chosen = recognitions[0]
    meaning = chosen.meaning
    for one in recognitions:
        if stated is not None and (one.meaning == stated.meaning or one.meaning in stated.wider_than):
            chosen, meaning = one, stated.meaning
            break
    if item.meaning not in (None, meaning) and rules()[meaning].evidence is Evidence.SHAPE:
        return None
    grade = max(item.grade, scheme.floors.get(meaning, Grade.PUBLIC))
    if meaning != item.meaning:
        grade = max(grade, rules()[meaning].grade)
    if meaning == item.meaning and grade == item.grade:
        return None
    mask = scheme.masks.mask(replace(item, meaning=meaning, grade=grade))
    return GradingSuggestion(item.name, meaning, grade, mask, chosen.sampled, chosen.recognised, chosen.why)


def suggest_all(
    values: Iterable[tuple[Item, pa.ChunkedArray]], dataset: Dataset, *, scheme: GradingScheme, seed: int = 0
) -> tuple[GradingSuggestion, ...]:
    """The suggestions for the items of a dataset, from a sample of the values of each as texts."""
    found = []
    for item, texts in values:
        titles = (item.title.zh, item.title.en)
        made = suggest(item, recognise(texts, name=item.name, titles=titles, seed=seed), scheme)
        if made is not None:
            found.append(made)
    order = {item.name: position for position, item in enumerate(dataset.items)}
    return tuple(sorted(found, key=lambda one: order[one.item]))


# --- a draft of an entry --------------------------------------------------------------------------------------------------


def draft_entry(
    source: SourceTable, *, dataset: str, provider: str, scheme: GradingScheme | None = None, seed: int = 0
) -> dict[str, Any]:
    """A catalogue entry for a source of rows, as the values that TOML and JSON share: what can be known from it, the rest left empty.

    Each item has the name and title of its header, its type, and the meaning and grade that recognisers take it for; `suggested` says
    why, in both languages. The key `suggested` stands at every item and at the entry: publishing refuses such an entry until a person
    has gone through it and taken them out. It holds no value of the source. Raises InputInvalid `dataset-name-invalid`, and what
    reading the source raises."""
    if not is_dataset_name(dataset):
        raise InputInvalid.because("dataset-name-invalid", dataset=dataset)
    reading = source.reading
    texts = _sample_of_source(source, seed)
    names = item_names([column.name for column in reading.columns])
    items = []
    for column, name, values in zip(reading.columns, names, texts, strict=True):
        items.append(_drafted_item(column, name, values, scheme, seed))
    division = next((item["name"] for item in items if item.get("meaning") == "division-code"), None)
    return {
        "suggested": _in_both(Reason("draft-entry-to-confirm", {"dataset": dataset})),
        "id": dataset,
        "title": {"zh": TO_WRITE, "en": TO_WRITE},
        "abstract": {"zh": TO_WRITE, "en": TO_WRITE},
        "classification": TO_WRITE,
        "provider": provider,
        "collector": provider,
        "format": _FORMATS.get(reading.format, ResourceFormat.DATABASE).value,
        "sharing": "conditional",
        "sharing_basis": TO_WRITE,
        "sharing_condition": {"zh": TO_WRITE, "en": TO_WRITE},
        "openness": "not-open",
        "update_cycle": "irregular",
        **({"division_item": division} if division else {}),
        "items": items,
    }


_FORMATS = {
    "text": ResourceFormat.TEXT,
    "json": ResourceFormat.TEXT,
    "json-lines": ResourceFormat.TEXT,
    **dict.fromkeys(("xlsx", "xls", "xlsb", "ods", "html", "xml"), ResourceFormat.SPREADSHEET),
}


def _drafted_item(
    column: ReadingColumn, name: str, values: pa.ChunkedArray, scheme: GradingScheme | None, seed: int
) -> dict[str, Any]:
    found = recognise(values, name=name, titles=(column.name,), seed=seed)
    why = [column.why]
    grade = Grade.INTERNAL
    if found:
        grade = rules()[found[0].meaning].grade
        if scheme is not None:
            grade = max(grade, scheme.floors.get(found[0].meaning, Grade.PUBLIC))
        why.append(found[0].why)
    else:
        why.append(Reason("draft-nothing-recognised", {}))
    return {
        "name": name,
        "title": {"zh": column.name, "en": column.name},
        "type": column.type.value,
        "grade": int(grade),
        **({"meaning": found[0].meaning} if found else {}),
        "suggested": _in_both(*why),
    }


def _in_both(*reasons: Reason) -> str:
    """The reasons in Chinese and in English: a draft is read by whoever completes it."""
    return " / ".join(
        gap.join(render(reason, language).rstrip("。.") for reason in reasons) for language, gap in (("zh-Hans", "；"), ("en", "; "))
    )


def item_names(headers: Sequence[str]) -> tuple[str, ...]:
    """A name for an item from each header: Chinese stays Chinese, Latin letters become small, anything else a line; each only once."""
    taken: set[str] = set()
    names = []
    for position, header in enumerate(headers, start=1):
        plain = re.sub(r"[（(].*?[）)]", "", header)  # a unit or a remark is no part of the name
        plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain).lower()
        plain = re.sub(r"[^0-9a-z_\u3400-\u4dbf\u4e00-\u9fff]+", "_", plain).strip("_")
        if plain and not is_item_name(plain[:1]):
            plain = f"item_{plain}"
        base = plain[:55] if is_item_name(plain[:55]) else f"item_{position}"
        name = next(one for one in itertools.chain([base], (f"{base}_{n}" for n in itertools.count(2))) if one not in taken)
        taken.add(name)
        names.append(name)
    return tuple(names)


def _sample_of_source(source: SourceTable, seed: int) -> list[pa.ChunkedArray]:
    """About `SAMPLE` values of each column, spread over the whole source, in bounded memory: of each batch a share by chance.

    When too many are held, every second chance is taken back, and from then on given no more (reservoir by rows)."""
    chances = np.random.default_rng(seed)
    kept: list[pa.Table] = []
    marks: list[np.ndarray[Any, np.dtype[np.float64]]] = []
    bar = 1.0
    for batch in source.batches():
        drawn = chances.random(batch.columns.num_rows)
        chosen = drawn < bar
        kept.append(batch.columns.filter(pa.array(chosen)))
        marks.append(drawn[chosen])
        if sum(len(one) for one in marks) > 2 * SAMPLE:
            bar /= 2
            kept = [table.filter(pa.array(mark < bar)) for table, mark in zip(kept, marks, strict=True)]
            marks = [mark[mark < bar] for mark in marks]
    if not kept:
        return [pa.chunked_array([pa.array([], pa.string())]) for _ in source.reading.columns]
    table = pa.concat_tables(kept)
    return [pc.cast(table.column(position), pa.string()) for position in range(table.num_columns)]


def title_of(meaning: str) -> BilingualText | None:
    """What a meaning is called; None for one without rules."""
    rule = rules().get(meaning)
    return rule.title if rule is not None else None
