# ruff: noqa: RUF012, E501, UP (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_start'),
    ]

    operations = [
        migrations.CreateModel(
            name='Checkpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('size', models.PositiveBigIntegerField(db_index=True)),
                ('origin', models.TextField()),
                ('root', models.BinaryField(max_length=32)),
                ('at', models.DateTimeField()),
                ('note', models.TextField()),
            ],
        ),
        migrations.CreateModel(
            name='Entry',
            fields=[
                ('index', models.PositiveBigIntegerField(primary_key=True, serialize=False)),
                ('entry', models.CharField(max_length=64, unique=True)),
                ('kind', models.CharField(choices=[('instance-created', 'instance-created'), ('office-registered', 'office-registered'), ('person-registered', 'person-registered'), ('token-issued', 'token-issued'), ('token-revoked', 'token-revoked'), ('dataset-published', 'dataset-published'), ('snapshot-taken', 'snapshot-taken'), ('request-submitted', 'request-submitted'), ('request-approved', 'request-approved'), ('request-refused', 'request-refused'), ('request-withdrawn', 'request-withdrawn'), ('grant-made', 'grant-made'), ('grant-activated', 'grant-activated'), ('grant-revoked', 'grant-revoked'), ('use-intent', 'use-intent'), ('use-outcome', 'use-outcome'), ('use-refused', 'use-refused'), ('operator-action', 'operator-action')], max_length=32)),
                ('at', models.DateTimeField(db_index=True)),
                ('payload', models.BinaryField()),
                ('key_id', models.CharField(max_length=64)),
                ('signature', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='Pending',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('entry', models.CharField(max_length=64, unique=True)),
                ('kind', models.CharField(choices=[('instance-created', 'instance-created'), ('office-registered', 'office-registered'), ('person-registered', 'person-registered'), ('token-issued', 'token-issued'), ('token-revoked', 'token-revoked'), ('dataset-published', 'dataset-published'), ('snapshot-taken', 'snapshot-taken'), ('request-submitted', 'request-submitted'), ('request-approved', 'request-approved'), ('request-refused', 'request-refused'), ('request-withdrawn', 'request-withdrawn'), ('grant-made', 'grant-made'), ('grant-activated', 'grant-activated'), ('grant-revoked', 'grant-revoked'), ('use-intent', 'use-intent'), ('use-outcome', 'use-outcome'), ('use-refused', 'use-refused'), ('operator-action', 'operator-action')], max_length=32)),
                ('at', models.DateTimeField(db_index=True)),
                ('payload', models.BinaryField()),
                ('key_id', models.CharField(max_length=64)),
                ('signature', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='Node',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('level', models.PositiveSmallIntegerField()),
                ('index', models.PositiveBigIntegerField()),
                ('hash', models.BinaryField(max_length=32)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('level', 'index'), name='node_once')],
            },
        ),
        migrations.CreateModel(
            name='Use',
            fields=[
                ('query', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('person', models.CharField(max_length=64)),
                ('post', models.CharField(max_length=130)),
                ('at', models.DateTimeField()),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='UseEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('entry', models.CharField(max_length=64)),
                ('use', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='entries', to='audit.use')),
            ],
        ),
        migrations.AddIndex(
            model_name='use',
            index=models.Index(fields=['office', 'at'], name='use_office_at'),
        ),
        migrations.AddConstraint(
            model_name='useentry',
            constraint=models.UniqueConstraint(fields=('use', 'position'), name='use_entry_position_once'),
        ),
        migrations.AddConstraint(
            model_name='useentry',
            constraint=models.UniqueConstraint(fields=('use', 'entry'), name='use_entry_once'),
        ),
    ]
