# ruff: noqa: RUF012, UP (written by makemigrations, the trigger by hand)

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps

TABLE = "audit_stamp"


def refuse_changes(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
    """As of entries (0002): the database itself refuses to change a row."""
    action = (
        " FOR EACH ROW EXECUTE FUNCTION huitong_never_changed()"
        if editor.connection.vendor == "postgresql"
        else " BEGIN SELECT RAISE(ABORT, 'the ledger is never changed'); END"
    )
    editor.execute(f"CREATE TRIGGER {TABLE}_never_changed BEFORE UPDATE ON {TABLE}{action}")


def allow_changes(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:  # noqa: ARG001
    on_table = f" ON {TABLE}" if editor.connection.vendor == "postgresql" else ""
    editor.execute(f"DROP TRIGGER {TABLE}_never_changed{on_table}")



class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0008_literals'),
    ]

    operations = [
        migrations.CreateModel(
            name='Stamp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('size', models.PositiveBigIntegerField(db_index=True)),
                ('service', models.CharField(max_length=63)),
                ('at', models.DateTimeField()),
                ('kept_at', models.DateTimeField()),
                ('answer', models.BinaryField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('size', 'service'), name='stamp_once')],
            },
        ),
        migrations.RunPython(refuse_changes, allow_changes),
    ]
