"""What the columns of kept tables are made of: a type, a meaning, a unit, a direction."""

from typing import Final

import pyarrow as pa

SCHEMA_VERSION: Final = 1
TEXT, INT, NUMBER = pa.string(), pa.int32(), pa.float64()
LATER: Final = "absent from files written before it was added, and null there"


def column(
    name: str,
    kind: pa.DataType,
    meaning: str,
    *,
    unit: str = "",
    direction: str = "",
    later: str = "",
) -> pa.Field:
    """Describe a column.

    Args:
        name: its name.
        kind: its Arrow type.
        meaning: in words.
        unit: of its numbers.
        direction: `higher` or `lower` where one is better.
        later: `LATER` for a column that was added to a kind of table that had been written before.

    Returns:
        The field, all of it in the metadata.
    """
    metadata = {"meaning": meaning, "unit": unit, "direction": direction, "later": later}
    return pa.field(name, kind, metadata={k: v for k, v in metadata.items() if v})


def schema(kind: str, *columns: pa.Field) -> pa.Schema:
    """Put columns together as one kind of table.

    Args:
        kind: what the table is called.
        *columns: in order.

    Returns:
        The schema, with the version and the kind in its metadata.
    """
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION), "otce.table": kind})
