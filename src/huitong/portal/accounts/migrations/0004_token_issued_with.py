# ruff: noqa: RUF012, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_people'),
    ]

    operations = [
        migrations.AddField(
            model_name='token',
            name='issued_with',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='issued', to='accounts.token'),
        ),
    ]
