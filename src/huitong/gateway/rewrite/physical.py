"""The physical tables of one plan, and how an item lies in them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from huitong.errors import Refused
from huitong.gateway.plan import DatasetPlan
from huitong.masks import engine_type
from huitong.model.catalog import Item, ItemType
from huitong.model.query import GovernedTable

LIST_COLUMNS: Mapping[str, str] = {"identifier": "VARCHAR"}
"""Columns of a list of subjects, as the lake writes them."""
SIDE_COLUMNS: Mapping[str, str] = {"identifier": "VARCHAR", "token": "BIGINT"}
"""Columns of a side table, as the lake writes them."""


@dataclass
class PhysicalTable:
    """A table under the name that it has in the plan, with its files and the columns that the plan reads."""

    name: str
    files: tuple[str, ...]
    columns: dict[str, str]


@dataclass
class Physical:
    """The physical tables of one plan, under names made of the plan's stand-in."""

    stand_in: str
    side_files: Callable[[str, str, str, int], tuple[str, ...]]
    subject_files: Callable[[str], tuple[str, ...]]
    _tables: dict[tuple[str, ...], PhysicalTable] = field(default_factory=dict)
    untold: dict[tuple[str, str], str] = field(default_factory=dict)
    """Table and item of each identifier that the plan takes as it lies, because the statement never tells it: its linkage group."""

    def of_dataset(self, part: DatasetPlan) -> PhysicalTable:
        """The table of a dataset's snapshot."""
        key = ("dataset", part.dataset)
        if key not in self._tables:
            self._tables[key] = PhysicalTable(self._name(), tuple(file.path for file in part.read.files), {})
        return self._tables[key]

    def of_tokens(self, part: DatasetPlan, item: str) -> PhysicalTable:
        """The side table of an item. Raises Refused `pseudonym-not-ready` if it was not built for this snapshot."""
        key = ("tokens", part.grant.terms.linkage_group, part.dataset, item)
        if key not in self._tables:
            files = self._files_of_tokens(part, item)
            self._tables[key] = PhysicalTable(self._name(), files, dict(SIDE_COLUMNS))
        return self._tables[key]

    def without_tokens(self, part: DatasetPlan, item: str) -> None:
        """Note that the item is taken as it lies. Raises as `of_tokens` does: that it is never told is no reason not to wait."""
        self._files_of_tokens(part, item)
        self.untold[self.of_dataset(part).name, item] = part.grant.terms.linkage_group

    def _files_of_tokens(self, part: DatasetPlan, item: str) -> tuple[str, ...]:
        files = self.side_files(part.grant.terms.linkage_group, part.dataset, item, part.snapshot)
        if not files:
            raise Refused.because("pseudonym-not-ready", grant=part.grant.id, dataset=part.dataset, item=item)
        return tuple(files)

    def identifiers(self) -> Mapping[tuple[str, str], str]:
        """Table and column of every identifier of a pseudonym that the plan reads, with its linkage group, if any is taken as it lies."""
        if not self.untold:
            return {}
        found = dict(self.untold)
        for key, table in self._tables.items():
            if key[0] == "tokens":
                _, group, dataset, item = key
                found[table.name, "identifier"] = found[self._tables["dataset", dataset].name, item] = group
        return found

    def of_subjects(self, part: DatasetPlan) -> PhysicalTable:
        """The list of subjects of the grant. Raises Refused `subjects-not-there` if it is not kept any more."""
        subjects = part.grant.terms.subjects
        assert subjects is not None
        key = ("subjects", subjects.subjects)
        if key not in self._tables:
            files = self.subject_files(subjects.subjects)
            if not files:
                raise Refused.because("subjects-not-there", grant=part.grant.id, dataset=part.dataset, item=subjects.item)
            self._tables[key] = PhysicalTable(self._name(), tuple(files), dict(LIST_COLUMNS))
        return self._tables[key]

    def tables(self) -> tuple[GovernedTable, ...]:
        """What the engine may touch."""
        return tuple(GovernedTable(name=table.name, files=table.files, columns=table.columns) for table in self._tables.values())

    def _name(self) -> str:
        return f"t_{self.stand_in}_{len(self._tables)}"


def columns_of(part: DatasetPlan) -> Mapping[str, ItemType]:
    """What the snapshot holds; the entry's items for a snapshot that was taken before this was noted."""
    return dict(part.read.columns) or {item.name: item.type for item in part.described.items}


def held_as(part: DatasetPlan, item: Item) -> tuple[exp.Expr, ItemType | None]:
    """The item as an expression over the snapshot, and the type in which it lies there (None: it does not).

    The entry may have changed since the snapshot was taken: an item that it lacks is missing in every row, and one of another type
    is read as what it has become, missing where that cannot be."""
    held = columns_of(part).get(item.name)
    if held is None:
        return exp.Cast(this=exp.Null(), to=exp.DataType.build(engine_type(item.type), dialect="duckdb")), None
    column = column_node("p", item.name)
    if held is item.type:
        return column, held
    return exp.TryCast(this=column, to=exp.DataType.build(engine_type(item.type), dialect="duckdb")), held


def identifier_node(name: str) -> exp.Identifier:
    """A name of our making, quoted."""
    return exp.Identifier(this=name, quoted=True)


def column_node(alias: str, name: str) -> exp.Column:
    """A column of a source."""
    return exp.Column(this=identifier_node(name), table=identifier_node(alias))


def table_node(name: str, alias: str) -> exp.Table:
    """A table under an alias."""
    return exp.Table(this=identifier_node(name), alias=exp.TableAlias(this=identifier_node(alias)))
