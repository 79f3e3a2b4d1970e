"""How a logical item type lies in a snapshot's Parquet files.

TEXT VARCHAR; INTEGER BIGINT; DECIMAL DOUBLE (money is integer fen, so decimals are measurements; a text whose value a double would
not give back is refused by the intake); BOOLEAN; DATE; INSTANT TIMESTAMP WITH TIME ZONE, microseconds in UTC.
"""

from collections.abc import Mapping

import pyarrow as pa
from deltalake import Field, Schema
from deltalake.schema import PrimitiveType

from huitong.model.catalog import Dataset, Item, ItemType

_PHYSICAL: Mapping[ItemType, str] = {
    ItemType.TEXT: "VARCHAR",
    ItemType.INTEGER: "BIGINT",
    ItemType.DECIMAL: "DOUBLE",
    ItemType.BOOLEAN: "BOOLEAN",
    ItemType.DATE: "DATE",
    ItemType.INSTANT: "TIMESTAMP WITH TIME ZONE",
}
_DELTA: Mapping[ItemType, str] = {
    ItemType.TEXT: "string",
    ItemType.INTEGER: "long",
    ItemType.DECIMAL: "double",
    ItemType.BOOLEAN: "boolean",
    ItemType.DATE: "date",
    ItemType.INSTANT: "timestamp",
}
_ARROW: Mapping[ItemType, pa.DataType] = {
    ItemType.TEXT: pa.string(),
    ItemType.INTEGER: pa.int64(),
    ItemType.DECIMAL: pa.float64(),
    ItemType.BOOLEAN: pa.bool_(),
    ItemType.DATE: pa.date32(),
    ItemType.INSTANT: pa.timestamp("us", "UTC"),
}


def physical_type(item: Item) -> str:
    """The DuckDB type of the item's column in a snapshot."""
    return _PHYSICAL[item.type]


def physical_columns(dataset: Dataset) -> dict[str, str]:
    """Every item's column with its DuckDB type, in the order of the entry."""
    return {item.name: physical_type(item) for item in dataset.items}


def delta_schema(dataset: Dataset) -> Schema:
    """The schema of the dataset's Delta table."""
    return schema_of_columns({item.name: item.type for item in dataset.items})


def schema_of_columns(columns: Mapping[str, ItemType]) -> Schema:
    """The schema of a Delta table with these items."""
    return Schema([Field(name, PrimitiveType(_DELTA[kind]), nullable=True) for name, kind in columns.items()])


def arrow_schema(dataset: Dataset) -> pa.Schema:
    """The dataset's items as Arrow holds them on their way into a file."""
    return pa.schema([(item.name, _ARROW[item.type]) for item in dataset.items])


def item_type(found: pa.DataType) -> ItemType:
    """The logical type of a column of a snapshot's file."""
    for kind, physical in _ARROW.items():
        if found == physical:
            return kind
    if pa.types.is_timestamp(found):
        return ItemType.INSTANT
    return ItemType.TEXT
