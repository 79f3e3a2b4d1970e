# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


def count_parts(apps, editor):
    """How many files each snapshot has that was taken before this was noted."""
    using = editor.connection.alias
    parts = apps.get_model('catalog', 'SnapshotFile').objects.using(using).values('snapshot').annotate(parts=models.Count('id'))
    snapshots = apps.get_model('catalog', 'Snapshot').objects.using(using)
    for row in list(parts):
        snapshots.filter(id=row['snapshot']).update(parts=row['parts'])


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
        ('catalog', '0001_start'),
    ]

    operations = [
        migrations.CreateModel(
            name='GradingSuggestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('item', models.CharField(max_length=63)),
                ('meaning', models.TextField()),
                ('grade', models.PositiveSmallIntegerField(choices=[(1, 'public'), (2, 'internal'), (3, 'sensitive'), (4, 'highly_sensitive'), (5, 'important'), (6, 'core')])),
                ('mask', models.JSONField()),
                ('sampled', models.PositiveBigIntegerField()),
                ('recognised', models.PositiveBigIntegerField()),
                ('why', models.JSONField()),
                ('state', models.CharField(choices=[('open', 'open'), ('confirmed', 'confirmed'), ('dismissed', 'dismissed')], max_length=16)),
                ('decided_by', models.CharField(max_length=64, null=True)),
                ('decided_at', models.DateTimeField(null=True)),
                ('words', models.TextField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='LoadPlan',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('source', models.JSONField()),
                ('mode', models.CharField(choices=[('replace', 'replace'), ('append', 'append'), ('merge', 'merge')], max_length=16)),
                ('every', models.TextField()),
                ('reject_limit', models.PositiveBigIntegerField()),
                ('person', models.CharField(max_length=64)),
                ('next_run', models.DateTimeField()),
                ('high_water', models.TextField(null=True)),
                ('stopped', models.JSONField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='LoadRun',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('plan', models.CharField(max_length=64, null=True)),
                ('source', models.JSONField()),
                ('mode', models.CharField(choices=[('replace', 'replace'), ('append', 'append'), ('merge', 'merge')], max_length=16)),
                ('started_at', models.DateTimeField()),
                ('person', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('running', 'running'), ('done', 'done'), ('refused', 'refused'), ('failed', 'failed')], max_length=16)),
                ('rows_done', models.PositiveBigIntegerField()),
                ('rows_all', models.PositiveBigIntegerField(null=True)),
                ('finished_at', models.DateTimeField(null=True)),
                ('version', models.PositiveBigIntegerField(null=True)),
                ('rejected_rows', models.PositiveBigIntegerField()),
                ('reasons', models.JSONField(default=list)),
            ],
        ),
        migrations.CreateModel(
            name='QualityReport',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveBigIntegerField()),
                ('made_at', models.DateTimeField()),
                ('report', models.JSONField()),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='item',
            name='item_grade_known',
        ),
        migrations.AddField(
            model_name='dataset',
            name='derived_from',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='dataset',
            name='format',
            field=models.CharField(choices=[('database', 'database'), ('spreadsheet', 'spreadsheet'), ('text', 'text'), ('document', 'document'), ('image', 'image'), ('media', 'media'), ('geographic', 'geographic'), ('service', 'service')], default='database', max_length=16),
        ),
        migrations.AddField(
            model_name='dataset',
            name='keep_days',
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='known_to',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='dataset',
            name='legal_basis',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='licence',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='openness_condition_en',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='openness_condition_zh',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='primary_key',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='dataset',
            name='related',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='dataset',
            name='sharing_manner',
            field=models.CharField(choices=[('query', 'query'), ('interface', 'interface'), ('file', 'file')], default='query', max_length=16),
        ),
        migrations.AddField(
            model_name='dataset',
            name='spatial',
            field=models.CharField(max_length=12, null=True),
        ),
        migrations.AddField(
            model_name='dataset',
            name='visibility',
            field=models.CharField(choices=[('everyone', 'everyone'), ('offices', 'offices'), ('named', 'named')], default='everyone', max_length=16),
        ),
        migrations.AddField(
            model_name='item',
            name='collector',
            field=models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office'),
        ),
        migrations.AddField(
            model_name='item',
            name='derived_from',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='item',
            name='legal_basis',
            field=models.TextField(null=True),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='columns',
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='mode',
            field=models.CharField(choices=[('replace', 'replace'), ('append', 'append'), ('merge', 'merge')], default='replace', max_length=16),
        ),
        migrations.AddField(
            model_name='snapshot',
            name='parts',
            field=models.PositiveIntegerField(default=0),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='snapshot',
            name='removed_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AlterField(
            model_name='item',
            name='grade',
            field=models.PositiveSmallIntegerField(choices=[(1, 'public'), (2, 'internal'), (3, 'sensitive'), (4, 'highly_sensitive'), (5, 'important'), (6, 'core')]),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('format__in', ['database', 'spreadsheet', 'text', 'document', 'image', 'media', 'geographic', 'service'])), name='dataset_format_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('sharing_manner__in', ['query', 'interface', 'file'])), name='dataset_manner_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('visibility__in', ['everyone', 'offices', 'named'])), name='dataset_visibility_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('openness_condition_en', None), ('openness_condition_zh', None)), models.Q(('openness_condition_en__isnull', False), ('openness_condition_zh__isnull', False)), _connector='OR'), name='dataset_openness_condition_both'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.CheckConstraint(condition=models.Q(('grade__in', [1, 2, 3, 4, 5, 6])), name='item_grade_known'),
        ),
        migrations.AddConstraint(
            model_name='snapshot',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['replace', 'append', 'merge'])), name='snapshot_mode_known'),
        ),
        migrations.AddField(
            model_name='gradingsuggestion',
            name='dataset',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset'),
        ),
        migrations.AddField(
            model_name='loadplan',
            name='dataset',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset'),
        ),
        migrations.AddField(
            model_name='loadplan',
            name='office',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office'),
        ),
        migrations.AddField(
            model_name='loadrun',
            name='dataset',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset'),
        ),
        migrations.AddField(
            model_name='qualityreport',
            name='dataset',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset'),
        ),
        migrations.AddConstraint(
            model_name='gradingsuggestion',
            constraint=models.UniqueConstraint(condition=models.Q(('state', 'open')), fields=('dataset', 'item', 'meaning'), name='suggestion_open_once'),
        ),
        migrations.AddConstraint(
            model_name='gradingsuggestion',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'confirmed', 'dismissed'])), name='suggestion_state_known'),
        ),
        migrations.AddConstraint(
            model_name='gradingsuggestion',
            constraint=models.CheckConstraint(condition=models.Q(('recognised__lte', models.F('sampled'))), name='suggestion_recognised_of_sampled'),
        ),
        migrations.AddIndex(
            model_name='loadplan',
            index=models.Index(fields=['next_run', 'id'], name='load_plan_next_run'),
        ),
        migrations.AddConstraint(
            model_name='loadplan',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['replace', 'append', 'merge'])), name='load_plan_mode_known'),
        ),
        migrations.AddIndex(
            model_name='loadrun',
            index=models.Index(fields=['dataset', '-started_at'], name='load_run_dataset_started'),
        ),
        migrations.AddIndex(
            model_name='loadrun',
            index=models.Index(condition=models.Q(('state', 'running')), fields=['state'], name='load_run_running'),
        ),
        migrations.AddConstraint(
            model_name='loadrun',
            constraint=models.CheckConstraint(condition=models.Q(('mode__in', ['replace', 'append', 'merge'])), name='load_run_mode_known'),
        ),
        migrations.AddConstraint(
            model_name='loadrun',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['running', 'done', 'refused', 'failed'])), name='load_run_state_known'),
        ),
        migrations.AddConstraint(
            model_name='qualityreport',
            constraint=models.UniqueConstraint(fields=('dataset', 'version'), name='quality_report_once'),
        ),
        migrations.RunPython(count_parts, migrations.RunPython.noop),
    ]
