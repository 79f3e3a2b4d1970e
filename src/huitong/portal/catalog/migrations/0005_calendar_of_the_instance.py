# ruff: noqa: RUF012, UP (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0004_tokens_are_postings'),
    ]

    operations = [
        migrations.CreateModel(
            name='CalendarYear',
            fields=[
                ('year', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('free', models.JSONField(default=list)),
                ('workdays', models.JSONField(default=list)),
                ('source', models.TextField()),
                ('provisional', models.BooleanField()),
            ],
        ),
    ]
