# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def events_of_grants(apps, schema_editor):
    """What happened to the grants that there are, as far as their rows tell: made, active, ended."""
    Grant, Event = apps.get_model("sharing", "Grant"), apps.get_model("sharing", "GrantEvent")
    using = schema_editor.connection.alias
    moved = set(Grant.objects.using(using).exclude(moved_from=None).values_list("moved_from_id", flat=True))
    for grant in Grant.objects.using(using).iterator(1000):
        told = [("made", grant.granted_at, None)]
        if grant.state != "preparing":
            told.append(("activated", grant.granted_at, None))
        if grant.state == "revoked":
            told.append(("moved" if grant.pk in moved else "revoked", grant.revoked_at, grant.revoked_because))
        Event.objects.using(using).bulk_create(
            Event(grant=grant, sequence=at, kind=kind, at=when, actor="rule", office_id=grant.provider_id, version=grant.version, words=words)
            for at, (kind, when, words) in enumerate(told)
        )
        Grant.objects.using(using).filter(pk=grant.pk).update(event_count=len(told))


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
        ('catalog', '0004_tokens_are_postings'),
        ('sharing', '0002_intake_and_catalogue'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Delegation',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('role', models.CharField(choices=[('analyst', 'analyst'), ('data-officer', 'data-officer'), ('reviewer', 'reviewer'), ('regulator', 'regulator'), ('operator', 'operator')], max_length=16)),
                ('valid_from', models.DateField()),
                ('valid_until', models.DateField()),
                ('made_by', models.CharField(max_length=64)),
                ('made_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='GrantEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('made', 'made'), ('activated', 'activated'), ('extended', 'extended'), ('revoked', 'revoked'), ('given-back', 'given-back'), ('moved', 'moved'), ('expiring', 'expiring'), ('expired', 'expired')], max_length=16)),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=64)),
                ('version', models.PositiveIntegerField()),
                ('words', models.TextField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='GrantVersion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveIntegerField()),
                ('purpose', models.TextField()),
                ('legal_basis', models.TextField()),
                ('items', models.JSONField()),
                ('rows_item', models.CharField(max_length=63, null=True)),
                ('rows_division', models.CharField(max_length=12, null=True)),
                ('mode', models.CharField(choices=[('rows', 'rows'), ('aggregate-only', 'aggregate-only')], max_length=16)),
                ('linkage_group', models.TextField()),
                ('valid_from', models.DateTimeField()),
                ('valid_until', models.DateTimeField()),
                ('rules', models.JSONField(default=dict)),
                ('terms_hash', models.CharField(max_length=64)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='grant',
            name='grant_mode_known',
        ),
        migrations.RemoveConstraint(
            model_name='request',
            name='request_state_known',
        ),
        migrations.RemoveConstraint(
            model_name='requestevent',
            name='request_event_kind_known',
        ),
        migrations.AddField(
            model_name='grant',
            name='event_count',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='grant',
            name='rules',
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name='request',
            name='continues',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='continued_by', to='sharing.grant'),
        ),
        migrations.AddField(
            model_name='requestevent',
            name='due',
            field=models.DateField(null=True),
        ),
        migrations.AddField(
            model_name='requestevent',
            name='on_behalf_of',
            field=models.CharField(max_length=64, null=True),
        ),
        migrations.AlterField(
            model_name='grant',
            name='mode',
            field=models.CharField(choices=[('rows', 'rows'), ('aggregate-only', 'aggregate-only')], max_length=16),
        ),
        migrations.AlterField(
            model_name='request',
            name='state',
            field=models.CharField(choices=[('under-review', 'under-review'), ('supplement-asked', 'supplement-asked'), ('granted', 'granted'), ('refused', 'refused'), ('withdrawn', 'withdrawn'), ('lapsed', 'lapsed')], max_length=16),
        ),
        migrations.AlterField(
            model_name='requestevent',
            name='kind',
            field=models.CharField(choices=[('submitted', 'submitted'), ('endorsed', 'endorsed'), ('approved', 'approved'), ('refused', 'refused'), ('withdrawn', 'withdrawn'), ('supplement-asked', 'supplement-asked'), ('supplemented', 'supplemented'), ('lapsed', 'lapsed'), ('extended', 'extended'), ('escalated', 'escalated'), ('mediated', 'mediated'), ('recounted', 'recounted')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='grant',
            index=models.Index(fields=['state', 'valid_until'], name='grant_state_until'),
        ),
        migrations.AddIndex(
            model_name='request',
            index=models.Index(fields=['state', 'answer_due'], name='request_state_due'),
        ),
        migrations.AddConstraint(
            model_name='grant',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['rows', 'aggregate-only'])), name='grant_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='request',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['under-review', 'supplement-asked', 'granted', 'refused', 'withdrawn', 'lapsed'])), name='request_state_known'),
        ),
        migrations.AddConstraint(
            model_name='requestevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['submitted', 'endorsed', 'approved', 'refused', 'withdrawn', 'supplement-asked', 'supplemented', 'lapsed', 'extended', 'escalated', 'mediated', 'recounted'])), name='request_event_kind_known'),
        ),
        migrations.AddField(
            model_name='delegation',
            name='delegate',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username'),
        ),
        migrations.AddField(
            model_name='delegation',
            name='office',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office'),
        ),
        migrations.AddField(
            model_name='delegation',
            name='principal',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username'),
        ),
        migrations.AddField(
            model_name='grantevent',
            name='grant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='sharing.grant'),
        ),
        migrations.AddField(
            model_name='grantevent',
            name='office',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office'),
        ),
        migrations.AddField(
            model_name='grantversion',
            name='grant',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='versions', to='sharing.grant'),
        ),
        migrations.AddField(
            model_name='grantversion',
            name='request',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sharing.request'),
        ),
        migrations.AddField(
            model_name='grantversion',
            name='signed_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username'),
        ),
        migrations.AddIndex(
            model_name='delegation',
            index=models.Index(fields=['office', 'delegate'], name='delegation_office_delegate'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('principal', models.F('delegate')), _negated=True), name='delegation_to_another'),
        ),
        migrations.AddConstraint(
            model_name='delegation',
            constraint=models.CheckConstraint(condition=models.Q(('valid_until__gte', models.F('valid_from'))), name='delegation_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='grantevent',
            constraint=models.UniqueConstraint(fields=('grant', 'sequence'), name='grant_event_sequence_once'),
        ),
        migrations.AddConstraint(
            model_name='grantevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['made', 'activated', 'extended', 'revoked', 'given-back', 'moved', 'expiring', 'expired'])), name='grant_event_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='grantevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'made'), _negated=True), ('sequence', 0), _connector='OR'), name='grant_event_made_first'),
        ),
        migrations.AddConstraint(
            model_name='grantversion',
            constraint=models.UniqueConstraint(fields=('grant', 'version'), name='grant_version_once'),
        ),
        migrations.RunPython(events_of_grants, migrations.RunPython.noop),
    ]
