# ruff: noqa: RUF012, E501, UP (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_start'),
        ('catalog', '0001_start'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Series',
            fields=[
                ('name', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('last', models.PositiveBigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name='PolicyEpoch',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('number', models.PositiveBigIntegerField()),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='policy_epoch_single_row')],
            },
        ),
        migrations.CreateModel(
            name='Request',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('wish', models.JSONField()),
                ('answer_due', models.DateField(null=True)),
                ('submitted_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('under-review', 'under-review'), ('granted', 'granted'), ('refused', 'refused'), ('withdrawn', 'withdrawn')], max_length=16)),
                ('event_count', models.PositiveIntegerField()),
                ('applicant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username')),
                ('applicant_office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset')),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='Grant',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('version', models.PositiveIntegerField()),
                ('purpose', models.TextField()),
                ('legal_basis', models.TextField()),
                ('items', models.JSONField()),
                ('rows_item', models.CharField(max_length=63, null=True)),
                ('rows_division', models.CharField(max_length=12, null=True)),
                ('mode', models.CharField(choices=[('rows', 'rows')], max_length=16)),
                ('linkage_group', models.TextField()),
                ('valid_from', models.DateTimeField()),
                ('valid_until', models.DateTimeField()),
                ('terms_hash', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('preparing', 'preparing'), ('active', 'active'), ('revoked', 'revoked')], max_length=10)),
                ('granted_at', models.DateTimeField()),
                ('revoked_at', models.DateTimeField(null=True)),
                ('revoked_because', models.TextField(null=True)),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset')),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('signed_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username')),
                ('using_office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='grants', to='sharing.request')),
            ],
        ),
        migrations.CreateModel(
            name='RequestEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('submitted', 'submitted'), ('approved', 'approved'), ('refused', 'refused'), ('withdrawn', 'withdrawn')], max_length=16)),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=64)),
                ('reason', models.TextField(null=True)),
                ('words', models.TextField(null=True)),
                ('wish', models.JSONField(null=True)),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('request', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='sharing.request')),
            ],
        ),
        migrations.AddIndex(
            model_name='request',
            index=models.Index(fields=['provider', 'state', 'submitted_at'], name='request_provider_state'),
        ),
        migrations.AddIndex(
            model_name='request',
            index=models.Index(fields=['applicant_office', 'state', 'submitted_at'], name='request_applicant_state'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['under-review', 'granted', 'refused', 'withdrawn'])), name='request_state_known'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(('event_count__gte', 1)), name='request_has_an_event'),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(fields=['using_office', 'dataset'], name='grant_using_office_dataset'),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(fields=['provider', 'granted_at'], name='grant_provider_granted'),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(fields=['dataset', 'state'], name='grant_dataset_state'),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(fields=['state', 'granted_at'], name='grant_state_granted'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['rows'])), name='grant_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('rows_division', None), ('rows_item', None)), models.Q(('rows_division__isnull', False), ('rows_item__isnull', False)), _connector='OR'), name='grant_rows_item_with_division'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('valid_until__gt', models.F('valid_from'))), name='grant_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('revoked_at__isnull', False), ('state', 'revoked')), models.Q(('revoked_at__isnull', True), ('revoked_because__isnull', True), ('state__in', ['preparing', 'active'])), _connector='OR'), name='grant_revoked_with_instant'),
        ),
        migrations.AddConstraint(
            model_name='requestevent',
            constraint=models.UniqueConstraint(fields=('request', 'sequence'), name='request_event_sequence_once'),
        ),
        migrations.AddConstraint(
            model_name='requestevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['submitted', 'approved', 'refused', 'withdrawn'])), name='request_event_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='requestevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'submitted'), _negated=True), ('sequence', 0), _connector='OR'), name='request_event_submitted_first'),
        ),
    ]
