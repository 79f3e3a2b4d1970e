"""How a logical item type lies in the files of a snapshot, in DuckDB's words and as a node of a governed tree."""

from collections.abc import Mapping

from sqlglot import exp

from huitong.model.catalog import ItemType

ENGINE_TYPES: Mapping[ItemType, str] = {
    ItemType.TEXT: "VARCHAR",
    ItemType.INTEGER: "BIGINT",
    ItemType.DECIMAL: "DOUBLE",
    ItemType.BOOLEAN: "BOOLEAN",
    ItemType.DATE: "DATE",
    ItemType.INSTANT: "TIMESTAMP WITH TIME ZONE",
}


def engine_type(item_type: ItemType) -> str:
    """The DuckDB type of an item of this logical type."""
    return ENGINE_TYPES[item_type]


_NODE_TYPES: Mapping[ItemType, exp.DType] = {
    ItemType.TEXT: exp.DType.VARCHAR,
    ItemType.INTEGER: exp.DType.BIGINT,
    ItemType.DECIMAL: exp.DType.DOUBLE,
    ItemType.BOOLEAN: exp.DType.BOOLEAN,
    ItemType.DATE: exp.DType.DATE,
    ItemType.INSTANT: exp.DType.TIMESTAMPTZ,
}


def sql_type(item_type: ItemType) -> exp.DataType:
    """The same type as the target of a cast."""
    return exp.DataType(this=_NODE_TYPES[item_type], nested=False)
