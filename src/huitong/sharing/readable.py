"""The readable document of a grant: what is in it (`document_of`), and the same as a page to print and as Markdown."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

from huitong.intake.recognisers.rules import rules
from huitong.model.policy import GrantEventKind, GrantState
from huitong.policy.odrl import profile
from huitong.sharing.deadline import last_day
from huitong.sharing.document import GrantRecord
from huitong.sharing.purposes import purposes
from huitong.sharing.term_words import (
    comparison_words,
    day_words,
    in_chinese,
    instant_words,
    mask_words,
    mode_words,
    named,
    padded,
    quota_words,
    said,
)
from huitong.words import render


@dataclass(frozen=True)
class Section:
    """A part of the document: facts by name, a table, sentences; what there is of them, in this order."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    """Lines that are typed as they stand."""


@dataclass(frozen=True)
class Readable:
    """The document of one version in one language."""

    language: str
    title: str
    subtitle: str
    status: str
    in_force: bool
    sections: tuple[Section, ...]
    seals: tuple[tuple[str, str], ...]
    """Where the two offices sign and seal on paper: side and office."""
    foot: str


def document_of(record: GrantRecord, language: str) -> Readable:
    """The agreement as a person reads and signs it, in `en` or `zh-Hans`."""
    grant = record.grant
    status, in_force = _status(record, language)
    provider, using = (office.title.in_language(language) for office in (record.provider, record.using_office))
    return Readable(
        language=language,
        title=said("title", language, grant=grant.id, version=grant.version),
        subtitle=said("subtitle", language, dataset=record.dataset.title.in_language(language), provider=provider, using_office=using),
        status=status,
        in_force=in_force,
        sections=(
            _parties(record, language),
            _data(record, language),
            _purpose(record, language),
            _items(record, language),
            _rows(record, language),
            _use(record, language),
            _rules(language),
            _history(record, language),
            _versions(record, language),
            _proof(record, language),
        ),
        seals=((said("provider", language), provider), (said("using-office", language), using)),
        foot=said("foot", language, urn=record.urn(), at=instant_words(record.now, record.time_zone, language)),
    )


def _status(record: GrantRecord, language: str) -> tuple[str, bool]:
    grant, zone = record.grant, record.time_zone
    last = day_words(last_day(grant.terms.valid_until, zone), language)
    if record.replaced_at is not None:
        at = instant_words(record.replaced_at, zone, language)
        return said("status-replaced", language, version=grant.version + 1, at=at), False
    if grant.state is GrantState.REVOKED:
        at = instant_words(grant.revoked_at or grant.granted_at, zone, language)
        back = any(one.kind is GrantEventKind.GIVEN_BACK for one in record.events)
        moved = any(one.kind is GrantEventKind.MOVED for one in record.events)
        return said("status-moved" if moved else "status-given-back" if back else "status-revoked", language, at=at), False
    if record.now >= grant.terms.valid_until:
        return said("status-expired", language, last=last), False
    if grant.state is GrantState.PREPARING:
        return said("status-preparing", language, last=last), False
    return said("status-active", language, last=last), True


def _parties(record: GrantRecord, language: str) -> Section:
    grant = record.grant
    rows = tuple(
        (said(side, language), office.title.in_language(language), office.credit_code, record.division_name(office.division, language))
        for side, office in (("provider", record.provider), ("using-office", record.using_office))
    )
    signed = (said("signed-by", language), said("account", language, account=grant.signed_by))
    at = (said("agreed-at", language), instant_words(record.agreed_at(), record.time_zone, language))
    return Section(
        said("parties", language),
        facts=(signed, at, (said("request", language), grant.request)),
        header=tuple(said(key, language) for key in ("side", "office", "credit-code", "division-title")),
        rows=rows,
    )


def _data(record: GrantRecord, language: str) -> Section:
    dataset = record.dataset
    facts = [
        (said("dataset", language), named(dataset.id, dataset.title.in_language(language), language)),
        (said("abstract", language), dataset.abstract.in_language(language)),
        (said("classification", language), dataset.classification),
        (said("sharing", language), said(f"sharing-{dataset.sharing.value}", language)),
        (said("sharing-basis", language), dataset.sharing_basis),
    ]
    if dataset.sharing_condition is not None:
        facts.append((said("sharing-condition", language), dataset.sharing_condition.in_language(language)))
    if record.collector is not None and record.collector.id != record.provider.id:
        facts.append((said("collector", language), record.collector.title.in_language(language)))
    return Section(said("data", language), facts=tuple(facts), notes=(said("entry-of-now", language),))


def _purpose(record: GrantRecord, language: str) -> Section:
    purpose = record.grant.terms.purpose
    words = purposes().get(purpose.code)
    titled = named(purpose.code, words.in_language(language), language) if words else purpose.code
    return Section(
        said("purpose", language), facts=((said("purpose", language), titled), (said("legal-basis", language), purpose.legal_basis))
    )


def _items(record: GrantRecord, language: str) -> Section:
    rows = []
    for term in record.grant.terms.items:
        item = record.dataset.item(term.item)
        title = item.title.in_language(language) if item else said("item-gone", language)
        grade = record.grading.at(item.grade).title.in_language(language) if item else "-"
        rows.append((term.item, title, _meaning(item.meaning if item else None, language), grade, mask_words(term.mask, language)))
    header = tuple(said(key, language) for key in ("item-name", "item-title", "meaning", "grade", "how-it-leaves"))
    return Section(said("items", language), header=header, rows=tuple(rows), notes=(said("items-only", language),))


def _meaning(meaning: str | None, language: str) -> str:
    known = rules().get(meaning or "")
    return named(known.title.in_language(language), known.meaning, language) if known else meaning or "-"


def _rows(record: GrantRecord, language: str) -> Section:
    terms = record.grant.terms
    notes = []
    if terms.rows is not None:
        division = padded(record.division_name(terms.rows.division, language), language)
        notes.append(said("rows-division", language, item=terms.rows.item, division=division))
    notes += [said("rows-condition", language, condition=comparison_words(one, record.dataset, language)) for one in terms.condition]
    if terms.subjects is not None:
        notes.append(
            said("rows-subjects", language, count=terms.subjects.count, item=terms.subjects.item, digest=terms.subjects.digest)
        )
    return Section(said("rows", language), notes=tuple(notes) or (said("all-rows", language),))


def _use(record: GrantRecord, language: str) -> Section:
    terms, zone = record.grant.terms, record.time_zone
    last = day_words(last_day(terms.valid_until, zone), language)
    return Section(
        said("use", language),
        facts=(
            (said("mode", language), mode_words(terms, language)),
            (said("quota", language), quota_words(terms.quota, language)),
            (said("linkage", language), said("linkage-group", language, group=terms.linkage_group)),
            (said("from", language), instant_words(terms.valid_from, zone, language)),
            (said("until", language), said("until-day", language, last=last, zone=zone)),
        ),
    )


def _rules(language: str) -> Section:
    tag = "zh" if in_chinese(language) else "en"
    rows = tuple((told[tag], told[f"source_{tag}"]) for told in profile()["rule"].values())
    header = (said("rule", language), said("where-from", language))
    return Section(said("rules", language), header=header, rows=rows)


def _history(record: GrantRecord, language: str) -> Section:
    offices = {office.id: office.title.in_language(language) for office in (record.provider, record.using_office)}
    rows = tuple(
        (
            instant_words(one.at, record.time_zone, language),
            said(f"event-{one.kind.value}", language),
            said("by-rule", language) if one.actor == "rule" else offices.get(one.office, one.office),
            str(one.version),
        )
        for one in record.events
    )
    header = tuple(said(key, language) for key in ("when", "what", "who", "version"))
    notes = () if record.grant.moved_from is None else (said("moved-from", language, grant=record.grant.moved_from),)
    return Section(said("history", language), header=header, rows=rows, notes=notes)


def _versions(record: GrantRecord, language: str) -> Section:
    def changed(version: int) -> str:
        told = [render(reason, language) for reason in record.changes(version, language)]
        return ("" if in_chinese(language) else " ").join(told) or said("first-version" if version == 1 else "nothing-changed", language)

    rows = tuple((str(one.version), changed(one.version), one.terms_hash) for one in record.versions)
    header = tuple(said(key, language) for key in ("version", "what-changed", "terms-hash"))
    return Section(said("versions", language), header=header, rows=rows)


def _proof(record: GrantRecord, language: str) -> Section:
    grant = record.grant
    kind = "grant-made" if grant.version == 1 else "grant-extended"
    if grant.version == 1 and grant.moved_from is not None:
        kind = "grant-moved"
    return Section(
        said("proof", language),
        facts=((said("terms-hash", language), grant.terms_hash), (said("name", language), record.urn())),
        notes=(
            said("proof-what", language),
            said("proof-ledger", language, kind=kind, instance=record.instance),
            said("proof-odrl", language),
        ),
        code=(
            f"huitong grant document {grant.id} --version {grant.version} --as odrl",
            f"huitong grant versions {grant.id}",
            "huitong ledger audit",
        ),
    )


# --- as Markdown --------------------------------------------------------------------------------------------------------

_SPECIAL = re.compile(r"[\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)|&(?=[#\w])")
_LIST = re.compile(r"^(\d+)([.)])(?=\s|$)")
_LINE = re.compile(r"^([-+#=])(?=[-+#=\s]|$)")


def _plain(text: str) -> str:
    """A text as one line of Markdown that says the same: nothing in it is taken for markup."""
    line = _SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
    return _LINE.sub(r"\\\1", _LIST.sub(r"\1\\\2", line))


def markdown(document: Readable) -> str:
    """The document as Markdown (CommonMark with tables), which is also plain text to read."""
    return "\n".join(_markdown_lines(document)) + "\n"


def _markdown_lines(document: Readable) -> Iterator[str]:
    yield f"# {_plain(document.title)}"
    yield from ("", _plain(document.subtitle), "", f"**{_plain(document.status)}**")
    colon = "：" if in_chinese(document.language) else ": "
    for number, section in enumerate(document.sections, start=1):
        yield from ("", f"## {number}. {_plain(section.title)}", "")
        yield from _markdown_of(section, colon)
    yield from ("", "---", "")
    for side, office in document.seals:
        yield from (f"{_plain(side)}{colon}{_plain(office)}", "", "\\_" * 24, "")
    yield _plain(document.foot)


def _markdown_of(section: Section, colon: str) -> Iterator[str]:
    blocks: list[list[str]] = []
    if section.facts:
        blocks.append([f"- **{_plain(name)}**{colon}{_plain(value)}" for name, value in section.facts])
    if section.header:
        lines = [_row(section.header), _row(["---"] * len(section.header), plain=False)]
        blocks.append([*lines, *(_row(row) for row in section.rows)])
    if section.notes:
        blocks.append([f"- {_plain(note)}" for note in section.notes])
    if section.code:
        blocks.append([f"    {line}" for line in section.code])
    for position, block in enumerate(blocks):
        if position:
            yield ""
        yield from block


def _row(cells: Iterable[str], *, plain: bool = True) -> str:
    return "| " + " | ".join(_plain(cell) if plain else cell for cell in cells) + " |"


# --- as a page ----------------------------------------------------------------------------------------------------------


@cache
def style() -> str:
    """The style of the page: our colours, and black on white when it is printed."""
    return (files(__package__) / "document.css").read_text("utf-8")


def html(document: Readable) -> str:
    """The document as a page that stands alone: no script, nothing to fetch."""
    return "".join(_html_parts(document))


def _html_parts(document: Readable) -> Iterator[str]:
    yield f'<!doctype html>\n<html lang="{escape(document.language)}">\n<head>\n<meta charset="utf-8">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield f"<title>{escape(document.title)}</title>\n<style>{style()}</style>\n</head>\n<body>\n<main>\n<header>\n"
    yield f"<h1>{escape(document.title)}</h1>\n<p class=\"subtitle\">{escape(document.subtitle)}</p>\n"
    yield f'<p class="status {"in-force" if document.in_force else "not-in-force"}">{escape(document.status)}</p>\n</header>\n'
    for number, section in enumerate(document.sections, start=1):
        yield f"<section>\n<h2>{number}. {escape(section.title)}</h2>\n{''.join(_html_of(section))}</section>\n"
    yield '<section class="seals">\n'
    for side, office in document.seals:
        yield f'<div class="seal"><p>{escape(side)}</p><p>{escape(office)}</p><p class="line"></p></div>\n'
    yield f"</section>\n<footer><p>{escape(document.foot)}</p></footer>\n</main>\n</body>\n</html>\n"


def _html_of(section: Section) -> Iterator[str]:
    if section.facts:
        yield "<dl>\n"
        for name, value in section.facts:
            yield f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n"
        yield "</dl>\n"
    if section.header:
        yield '<div class="wide"><table>\n<thead><tr>'
        yield "".join(f'<th scope="col">{escape(name)}</th>' for name in section.header)
        yield "</tr></thead>\n<tbody>\n"
        for row in section.rows:
            yield "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>\n"
        yield "</tbody>\n</table></div>\n"
    if section.notes:
        yield "<ul>\n" + "".join(f"<li>{escape(note)}</li>\n" for note in section.notes) + "</ul>\n"
    if section.code:
        yield "<pre>" + escape("\n".join(section.code)) + "</pre>\n"
