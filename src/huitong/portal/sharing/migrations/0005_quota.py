# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sharing', '0004_reidentification'),
    ]

    operations = [
        migrations.CreateModel(
            name='QuotaDay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('day', models.DateField()),
                ('rows', models.PositiveBigIntegerField(default=0)),
                ('queries', models.PositiveBigIntegerField(default=0)),
                ('calls', models.PositiveBigIntegerField(default=0)),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='quota_days', to='sharing.grant')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('grant', 'day'), name='quota_day_once')],
            },
        ),
        migrations.CreateModel(
            name='QuotaReservation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('query', models.CharField(max_length=64)),
                ('day', models.DateField()),
                ('rows', models.PositiveBigIntegerField()),
                ('queries', models.PositiveSmallIntegerField()),
                ('calls', models.PositiveSmallIntegerField()),
                ('until', models.DateTimeField()),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='quota_reservations', to='sharing.grant')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('grant', 'query'), name='quota_reservation_once')],
            },
        ),
    ]
