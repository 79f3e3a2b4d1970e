# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
        ('catalog', '0002_intake_and_catalogue'),
        ('sharing', '0001_start'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='requestevent',
            name='request_event_kind_known',
        ),
        migrations.AddField(
            model_name='grant',
            name='moved_from',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='moved_to', to='sharing.grant'),
        ),
        migrations.AlterField(
            model_name='requestevent',
            name='kind',
            field=models.CharField(choices=[('submitted', 'submitted'), ('endorsed', 'endorsed'), ('approved', 'approved'), ('refused', 'refused'), ('withdrawn', 'withdrawn')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('moved_from', models.F('id')), _negated=True), name='grant_not_moved_from_itself'),
        ),
        migrations.AddConstraint(
            model_name='requestevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['submitted', 'endorsed', 'approved', 'refused', 'withdrawn'])), name='request_event_kind_known'),
        ),
    ]
