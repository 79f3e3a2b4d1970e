# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_start'),
    ]

    operations = [
        migrations.AddField(
            model_name='division',
            name='successors',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='office',
            name='successor',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='predecessors', to='accounts.office'),
        ),
        migrations.AddField(
            model_name='office',
            name='valid_from',
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name='office',
            name='valid_to',
            field=models.DateField(null=True),
        ),
        migrations.AddConstraint(
            model_name='office',
            constraint=models.CheckConstraint(condition=models.Q(('successor', None), ('valid_to__isnull', False), _connector='OR'), name='office_succeeded_has_ended'),
        ),
        migrations.AddConstraint(
            model_name='office',
            constraint=models.CheckConstraint(condition=models.Q(('successor', models.F('id')), _negated=True), name='office_not_its_own_successor'),
        ),
    ]
