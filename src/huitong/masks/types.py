"""How a logical item type lies in the files of a snapshot, in DuckDB's words."""

from collections.abc import Mapping

from huitong.model.catalog import ItemType

ENGINE_TYPES: Mapping[ItemType, str] = {
    ItemType.TEXT: "VARCHAR",
    ItemType.INTEGER: "BIGINT",
    ItemType.DECIMAL: "DOUBLE",
    ItemType.BOOLEAN: "BOOLEAN",
    ItemType.DATE: "DATE",
    ItemType.INSTANT: "TIMESTAMP",
}


def engine_type(item_type: ItemType) -> str:
    """The DuckDB type of an item of this logical type; instants are UTC without a zone."""
    return ENGINE_TYPES[item_type]
