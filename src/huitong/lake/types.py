"""How a logical item type lies in a snapshot's Parquet files.

TEXT VARCHAR; INTEGER BIGINT; DECIMAL DOUBLE (money is integer fen, so decimals are measurements; a text whose value a double would
not give back is refused by the intake); BOOLEAN; DATE; INSTANT TIMESTAMP WITH TIME ZONE, microseconds in UTC.
"""

from collections.abc import Mapping

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


def physical_type(item: Item) -> str:
    """The DuckDB type of the item's column in a snapshot."""
    return _PHYSICAL[item.type]


def physical_columns(dataset: Dataset) -> dict[str, str]:
    """Every item's column with its DuckDB type, in the order of the entry."""
    return {item.name: physical_type(item) for item in dataset.items}


def delta_schema(dataset: Dataset) -> Schema:
    """The schema of the dataset's Delta table."""
    return Schema([Field(item.name, PrimitiveType(_DELTA[item.type]), nullable=True) for item in dataset.items])
