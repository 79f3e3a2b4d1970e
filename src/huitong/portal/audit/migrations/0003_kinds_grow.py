# ruff: noqa: RUF012, UP (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0002_never_changed'),
    ]

    operations = [
        migrations.AlterField(
            model_name='entry',
            name='kind',
            field=models.CharField(max_length=32),
        ),
        migrations.AlterField(
            model_name='pending',
            name='kind',
            field=models.CharField(max_length=32),
        ),
    ]
