"""The tables, and how they come about.

A migration is a file ``migrations/<dialect>/<number>_<name>.sql``. Each is run once, all that
are missing in one transaction, whoever comes first; the number of the last one is kept in the
table ``taskq_schema``.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from taskq.errors import SchemaError
from taskq.stores.sql.dialects import Connection, Cursor, Dialect


@cache
def scripts(name: str) -> tuple[tuple[str, ...], ...]:
    """The migrations of a dialect in their order, each as its statements."""
    folder = files("taskq.stores.sql").joinpath("migrations", name)
    found = sorted(
        (each for each in folder.iterdir() if each.name.endswith(".sql")),
        key=lambda each: each.name,
    )
    return tuple(_statements(each.read_text(encoding="utf-8")) for each in found)


def migrate(connection: Connection, dialect: Dialect) -> None:
    """Bring the tables to the version that this taskq knows. Any number of processes may
    do so at once, and again.

    :raises SchemaError: the tables are of a newer version.
    """
    known = scripts(dialect.name)
    cursor = dialect.cursor(connection)
    if _version(cursor, dialect) == len(known):
        return
    try:
        dialect.begin(connection, write=True)
        version = _version(cursor, dialect)
        if version > len(known):
            raise SchemaError(
                f"the tables are of version {version}, and this taskq knows {len(known)}: "
                f"a newer taskq has used this database; update this one"
            )
        if version == 0:
            cursor.execute("CREATE TABLE taskq_schema (version INTEGER NOT NULL)")
            cursor.execute("INSERT INTO taskq_schema (version) VALUES (0)")
        for script in known[version:]:
            for statement in script:
                cursor.execute(statement)
        cursor.execute("UPDATE taskq_schema SET version = ?", (len(known),))
        dialect.commit(connection)
    finally:
        dialect.rollback(connection)


def _version(cursor: Cursor, dialect: Dialect) -> int:
    if not cursor.execute(dialect.schema_there).fetchall():
        return 0
    rows = cursor.execute("SELECT version FROM taskq_schema").fetchall()
    if len(rows) != 1 or not isinstance(rows[0][0], int) or rows[0][0] < 1:
        raise SchemaError("the table taskq_schema does not hold one version number")
    version: int = rows[0][0]
    return version


def _statements(script: str) -> tuple[str, ...]:
    """The statements of a script; each ends with a semicolon at the end of a line."""
    lines = [line.split("--")[0].rstrip() for line in script.splitlines()]
    text = "\n".join(line for line in lines if line)
    return tuple(part.strip() for part in text.split(";\n") if part.strip())
