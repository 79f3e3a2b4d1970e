# ruff: noqa: ARG001, E501, RUF012, UP (written by makemigrations, but for the index at the end)

import django.db.models.deletion
from django.db import migrations, models


def order_by_bytes(apps, editor):
    """Pages follow ids by code point, whatever the database's own language; with the group, so that the table is not read."""
    collation = ' COLLATE "C"' if editor.connection.vendor == "postgresql" else ""
    editor.execute(f"CREATE INDEX prospect_in_order ON catalog_prospect (dataset_id{collation}, group_id)")


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0005_calendar_of_the_instance'),
    ]

    operations = [
        migrations.CreateModel(
            name='ProspectGroup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('everybody', models.BooleanField()),
                ('kind', models.CharField(max_length=16)),
                ('provider', models.TextField()),
                ('reviewers', models.PositiveSmallIntegerField()),
                ('datasets', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('provider', 'kind', 'reviewers', 'everybody'), name='prospect_group_once')],
            },
        ),
        migrations.CreateModel(
            name='ProspectState',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('rules', models.CharField(max_length=64)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='prospect_state_single_row')],
            },
        ),
        migrations.CreateModel(
            name='Prospect',
            fields=[
                ('dataset', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='+', serialize=False, to='catalog.dataset')),
                ('group', models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.prospectgroup')),
            ],
            options={
                'indexes': [models.Index(fields=['group', 'dataset'], name='prospect_group_dataset'), models.Index(condition=models.Q(('group', None)), fields=['dataset'], name='prospect_unjudged')],
            },
        ),
        migrations.CreateModel(
            name='ProspectKnown',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('office', models.TextField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalog.dataset')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('office', 'dataset'), name='prospect_known_once')],
            },
        ),
        migrations.CreateModel(
            name='ProspectSource',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=130)),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalog.dataset')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('source', 'dataset'), name='prospect_source_once')],
            },
        ),
        migrations.RunPython(order_by_bytes, migrations.RunPython.noop, elidable=False),
    ]
