# ruff: noqa: RUF012, E501, UP, I001 (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
        ('catalog', '0004_tokens_are_postings'),
        ('sharing', '0003_rights'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Reidentification',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('item', models.CharField(max_length=63)),
                ('linkage_group', models.TextField()),
                ('case', models.TextField()),
                ('legal_basis', models.TextField()),
                ('why', models.TextField()),
                ('tokens', models.PositiveIntegerField()),
                ('tokens_hash', models.CharField(max_length=64)),
                ('days', models.PositiveIntegerField()),
                ('reveals', models.PositiveIntegerField()),
                ('answer_due', models.DateField()),
                ('asked_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('under-review', 'under-review'), ('agreed', 'agreed'), ('refused', 'refused'), ('withdrawn', 'withdrawn'), ('revoked', 'revoked'), ('ended', 'ended')], max_length=16)),
                ('event_count', models.PositiveIntegerField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset')),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reidentifications', to='sharing.grant')),
                ('officer', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL, to_field='username')),
                ('post', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.post')),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('using_office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='ReidentificationEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveIntegerField()),
                ('kind', models.CharField(choices=[('asked', 'asked'), ('endorsed', 'endorsed'), ('approved', 'approved'), ('refused', 'refused'), ('withdrawn', 'withdrawn'), ('reveal-begun', 'reveal-begun'), ('revealed', 'revealed'), ('reveal-failed', 'reveal-failed'), ('revoked', 'revoked'), ('given-back', 'given-back'), ('ended', 'ended')], max_length=16)),
                ('at', models.DateTimeField()),
                ('actor', models.CharField(max_length=64)),
                ('reason', models.TextField(null=True)),
                ('words', models.TextField(null=True)),
                ('days', models.PositiveIntegerField(null=True)),
                ('reveals', models.PositiveIntegerField(null=True)),
                ('until', models.DateTimeField(null=True)),
                ('query', models.CharField(max_length=64, null=True)),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('reidentification', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='events', to='sharing.reidentification')),
            ],
        ),
        migrations.CreateModel(
            name='ReidentificationToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.BigIntegerField()),
                ('reidentification', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='kept_tokens', to='sharing.reidentification')),
            ],
        ),
        migrations.AddIndex(
            model_name='reidentification',
            index=models.Index(fields=['provider', 'asked_at'], name='reidentification_provider'),
        ),
        migrations.AddIndex(
            model_name='reidentification',
            index=models.Index(fields=['using_office', 'asked_at'], name='reidentification_using_office'),
        ),
        migrations.AddIndex(
            model_name='reidentification',
            index=models.Index(fields=['state', 'asked_at'], name='reidentification_state'),
        ),
        migrations.AddConstraint(
            model_name='reidentification',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['under-review', 'agreed', 'refused', 'withdrawn', 'revoked', 'ended'])), name='reidentification_state_known'),
        ),
        migrations.AddConstraint(
            model_name='reidentification',
            constraint=models.CheckConstraint(condition=models.Q(('event_count__gte', 1)), name='reidentification_has_an_event'),
        ),
        migrations.AddConstraint(
            model_name='reidentification',
            constraint=models.CheckConstraint(condition=models.Q(('days__gte', 1), ('reveals__gte', 1), ('tokens__gte', 1)), name='reidentification_counts_something'),
        ),
        migrations.AddConstraint(
            model_name='reidentificationevent',
            constraint=models.UniqueConstraint(fields=('reidentification', 'sequence'), name='reidentification_event_once'),
        ),
        migrations.AddConstraint(
            model_name='reidentificationevent',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['asked', 'endorsed', 'approved', 'refused', 'withdrawn', 'reveal-begun', 'revealed', 'reveal-failed', 'revoked', 'given-back', 'ended'])), name='reidentification_event_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='reidentificationevent',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'asked'), _negated=True), ('sequence', 0), _connector='OR'), name='reidentification_asked_first'),
        ),
        migrations.AddConstraint(
            model_name='reidentificationtoken',
            constraint=models.UniqueConstraint(fields=('reidentification', 'token'), name='reidentification_token_once'),
        ),
    ]
