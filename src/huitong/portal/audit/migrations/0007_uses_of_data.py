# ruff: noqa: RUF012, E501, UP, ARG001, PLC0415 (written by makemigrations, the lines by hand)

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def make_lines(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """Lines of the uses that ended before there was this table, from the ledger."""
    from huitong.portal.use_index import fill

    using = editor.connection.alias
    tree, lines = (apps.get_model("audit", name).objects.using(using) for name in ("Entry", "UseLine"))
    fill(tree, lines)


def nothing(apps: StateApps, editor: BaseDatabaseSchemaEditor) -> None:
    """The table goes with its lines."""


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0006_cosignatures'),
    ]

    operations = [
        migrations.CreateModel(
            name='UseLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('place', models.PositiveBigIntegerField()),
                ('position', models.PositiveSmallIntegerField()),
                ('query', models.CharField(max_length=130)),
                ('dataset', models.CharField(max_length=130)),
                ('office', models.CharField(max_length=130)),
                ('person', models.CharField(max_length=130)),
                ('post', models.CharField(max_length=130)),
                ('purpose', models.CharField(max_length=130)),
                ('legal_basis', models.TextField()),
                ('grant', models.CharField(max_length=130, null=True)),
                ('version', models.BigIntegerField(null=True)),
                ('snapshot', models.BigIntegerField(null=True)),
                ('mode', models.CharField(max_length=130, null=True)),
                ('door', models.CharField(max_length=130, null=True)),
                ('end', models.CharField(max_length=16)),
                ('at', models.DateTimeField()),
                ('ended_at', models.DateTimeField()),
                ('rows', models.BigIntegerField(null=True)),
                ('duration', models.CharField(max_length=130, null=True)),
                ('items', models.JSONField()),
                ('reasons', models.JSONField()),
            ],
            options={
                'indexes': [models.Index(fields=['dataset', 'place'], name='use_line_dataset'), models.Index(fields=['office', 'place'], name='use_line_office'), models.Index(fields=['grant', 'place'], name='use_line_grant')],
                'constraints': [models.UniqueConstraint(fields=('place', 'position'), name='use_line_once')],
            },
        ),
        migrations.RunPython(make_lines, nothing),
    ]
