"""Finding entries with Chinese and English words.

Text becomes tokens: runs of Chinese characters become single characters and overlapping pairs, so a query of any length finds
something; Latin words become their beginnings, so a word that is still being written finds the whole. `tokens` makes both the
index of an entry and the tokens of a query; the store only compares them for equality and adds up weights.

A query that finds nothing so is tried again with the inner parts of its Latin words, of four letters each: `hold` finds household.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence

from huitong.catalog.ports import CatalogStore, Facet, SearchPage
from huitong.model.catalog import Dataset
from huitong.model.party import Office

LONGEST_BEGINNING = 16
"""Latin words are told apart by so many characters."""
MOST_QUERY_TOKENS = 32
"""What a query holds beyond this many tokens is not looked at."""

TITLE, ID, ITEM, OFFICE, ABSTRACT = 16, 8, 4, 2, 1
"""Weights: a place counts more than all places after it together, so a hit in the title ranks above any hit elsewhere."""

PART = 4
"""Letters of an inner part of a Latin word."""
INNER = "~"
"""Stands before an inner part, so that it is never taken for a beginning: no word holds it."""

_CHINESE = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff\u3007"
_RUN = re.compile(f"[{_CHINESE}]+|[^\\W_{_CHINESE}]+")
_STOP_WORDS = frozenset({"a", "an", "and", "by", "for", "in", "of", "on", "or", "the", "to", "with"})


def tokens(text: str, *, indexing: bool = False) -> tuple[str, ...]:
    """The tokens of a query, or with `indexing` all tokens by which a query may find the text; each once, in order.

    Every query token of a text is among its index tokens, and so are those of each run of its Chinese characters and of each
    beginning of its Latin words."""
    found: dict[str, None] = {}
    words: dict[str, None] = {}
    for run in _RUN.findall(unicodedata.normalize("NFKC", text).casefold()):
        if re.match(f"[{_CHINESE}]", run):
            pairs = [run[start : start + 2] for start in range(len(run) - 1)]
            found.update(dict.fromkeys([*run, *pairs] if indexing or len(run) == 1 else pairs))
        elif indexing:
            for word in (run, _singular(run)):
                found.update(dict.fromkeys(word[:length] for length in range(1, min(len(word), LONGEST_BEGINNING) + 1)))
                found.update(dict.fromkeys(_inner_parts(word)))
        else:
            words[run] = None
    telling = [word for word in words if word not in _STOP_WORDS] or (list(words) if not found else [])
    found.update(dict.fromkeys(_singular(word)[:LONGEST_BEGINNING] for word in telling))
    return tuple(found)


def _inner_parts(word: str) -> list[str]:
    """Every four letters in a row, each marked; none of a shorter word."""
    word = word[: 2 * LONGEST_BEGINNING]
    return [INNER + word[start : start + PART] for start in range(len(word) - PART + 1)]


def inner_tokens(query: Sequence[str]) -> tuple[str, ...]:
    """The tokens of a query with its Latin words of four letters and more by their inner parts; empty if it has none such."""
    found: dict[str, None] = {}
    for token in query:
        parts = [] if re.match(f"[{_CHINESE}]", token) else _inner_parts(token)
        found.update(dict.fromkeys(parts or [token]))
    return tuple(found)[:MOST_QUERY_TOKENS] if any(token.startswith(INNER) for token in found) else ()


def _singular(word: str) -> str:
    """Households and household, counties and county are one word."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith("ss"):
        return word[:-1]
    return word


def index_of(dataset: Dataset, offices: Iterable[Office]) -> dict[str, int]:
    """What an entry is found by: each token with the weights, added up, of the places where it stands."""
    places: list[tuple[int, list[str]]] = [
        (TITLE, [dataset.title.zh, dataset.title.en]),
        (ID, [dataset.id, dataset.classification]),
        (ITEM, [words for item in dataset.items for words in (item.title.zh, item.title.en, item.name)]),
        (OFFICE, [words for office in offices for words in (office.title.zh, office.title.en, office.id)]),
        (ABSTRACT, [dataset.abstract.zh, dataset.abstract.en]),
    ]
    index: dict[str, int] = {}
    for weight, texts in places:
        for token in {token for text in texts for token in tokens(text, indexing=True)}:
            index[token] = index.get(token, 0) + weight
    return index


def score(text: str, index: Mapping[str, int]) -> int:
    """How well an entry answers a query, as the stores rank it; 0 if a token of the query is missing or there is none."""
    wanted = query_tokens(text)
    return sum(index[token] for token in wanted) if wanted and all(token in index for token in wanted) else 0


def query_tokens(text: str) -> tuple[str, ...]:
    """The tokens of a query, no more than a store should look up."""
    return tokens(text)[:MOST_QUERY_TOKENS]


def facet_values(dataset: Dataset, office: Office | None, line: Sequence[str]) -> Mapping[Facet, tuple[str, ...]]:
    """Under which values an entry counts, and by which a search may be narrowed to it: the one rule for every store.

    `office` is its managing office, `line` the codes of that office's division and of all divisions above it: an entry counts
    under each of them, so the count of a division is the number of hits that narrowing by it leaves."""
    return {
        Facet.OFFICE: (dataset.provider,),
        Facet.LEVEL: () if office is None else (office.level.value,),
        Facet.DIVISION: tuple(dict.fromkeys(line)),
        **values_of_entry(dataset),
    }


def values_of_entry(dataset: Dataset) -> dict[Facet, tuple[str, ...]]:
    """Those of `facet_values` that follow from the entry alone."""
    return {
        Facet.FAMILY: (dataset.classification[:1],),
        Facet.GRADE: (str(int(dataset.grade)),),
        Facet.SHARING: (dataset.sharing.value,),
        Facet.OPENNESS: (dataset.openness.value,),
        Facet.CYCLE: (dataset.update_cycle.value,),
        Facet.MEANING: tuple(sorted({item.meaning for item in dataset.items if item.meaning is not None})),
    }


def ordered_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """Values with a count, the most frequent first, then by value."""
    return dict(sorted(((value, count) for value, count in counts.items() if count), key=lambda pair: (-pair[1], pair[0])))


def search(
    store: CatalogStore,
    text: str = "",
    *,
    viewer: str | None = None,
    narrowing: Mapping[Facet, Collection[str]] | None = None,
    facets: Collection[Facet] = (),
    limit: int = 20,
    offset: int = 0,
) -> SearchPage:
    """Entries known to the viewer that answer the query, best first. No query: all of them, by id.

    `viewer` is the office that the signed-in person acts for; None sees what everyone may know. A query without a word or
    character finds nothing, and counts nothing."""
    wanted = query_tokens(text)
    if text.strip() and not wanted:
        return SearchPage(hits=(), total=0, facets={facet: {} for facet in facets})
    narrowed = {facet: frozenset(values) for facet, values in (narrowing or {}).items()}

    def ask(words: Sequence[str]) -> SearchPage:
        return store.search(words, viewer=viewer, narrowing=narrowed, facets=facets, limit=limit, offset=offset)

    page = ask(wanted)
    inner = inner_tokens(wanted) if page.total == 0 else ()
    if inner and (not narrowed or store.search(wanted, viewer=viewer, limit=0).total == 0):
        return ask(inner)
    return page
