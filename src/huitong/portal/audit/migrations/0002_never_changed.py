"""The database itself refuses to change an entry, a node or a checkpoint once it is written."""

from typing import ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLES = ("audit_entry", "audit_node", "audit_checkpoint")


def refuse_changes(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
    if editor.connection.vendor == "postgresql":
        editor.execute(
            "CREATE FUNCTION huitong_never_changed() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE EXCEPTION ''the ledger is never changed'' USING ERRCODE = ''integrity_constraint_violation''; END'"
        )
    for table in TABLES:
        if editor.connection.vendor == "postgresql":
            editor.execute(
                f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE ON {table}"
                " FOR EACH ROW EXECUTE FUNCTION huitong_never_changed()"
            )
        else:
            editor.execute(
                f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE ON {table}"
                " BEGIN SELECT RAISE(ABORT, 'the ledger is never changed'); END"
            )


def allow_changes(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
    for table in TABLES:
        on_table = f" ON {table}" if editor.connection.vendor == "postgresql" else ""
        editor.execute(f"DROP TRIGGER {table}_never_changed{on_table}")
    if editor.connection.vendor == "postgresql":
        editor.execute("DROP FUNCTION huitong_never_changed()")


class Migration(migrations.Migration):
    dependencies: ClassVar = [("audit", "0001_start")]
    operations: ClassVar = [migrations.RunPython(refuse_changes, allow_changes)]
