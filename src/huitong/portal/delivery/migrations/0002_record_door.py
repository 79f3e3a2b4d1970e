# ruff: noqa: RUF012, E501, UP (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('delivery', '0001_start'),
    ]

    operations = [
        migrations.CreateModel(
            name='RecordDoor',
            fields=[
                ('dataset', models.CharField(max_length=200, primary_key=True, serialize=False)),
                ('on', models.BooleanField()),
                ('changed_at', models.DateTimeField()),
                ('changed_by', models.CharField(max_length=64)),
                ('version', models.PositiveBigIntegerField(null=True)),
                ('shape', models.CharField(blank=True, max_length=64)),
                ('state', models.CharField(choices=[('off', 'off'), ('waiting', 'waiting'), ('running', 'running'), ('ready', 'ready'), ('failed', 'failed')], max_length=8)),
                ('rows', models.PositiveBigIntegerField(default=0)),
                ('rows_expected', models.PositiveBigIntegerField(default=0)),
                ('rows_without_key', models.PositiveBigIntegerField(default=0)),
                ('reasons', models.JSONField(default=list)),
                ('noted_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('state__in', ['off', 'waiting', 'running', 'ready', 'failed'])), name='record_copy_state_known')],
            },
        ),
    ]
