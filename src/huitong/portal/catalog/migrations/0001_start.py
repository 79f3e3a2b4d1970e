# ruff: noqa: RUF012, E501, UP (written by makemigrations)

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0001_start'),
    ]

    operations = [
        migrations.CreateModel(
            name='Dataset',
            fields=[
                ('id', models.CharField(max_length=130, primary_key=True, serialize=False)),
                ('title_zh', models.TextField()),
                ('title_en', models.TextField()),
                ('abstract_zh', models.TextField()),
                ('abstract_en', models.TextField()),
                ('classification', models.TextField()),
                ('sharing', models.CharField(choices=[('unconditional', 'unconditional'), ('conditional', 'conditional'), ('not-shared', 'not-shared')], max_length=16)),
                ('sharing_basis', models.TextField()),
                ('sharing_condition_zh', models.TextField(null=True)),
                ('sharing_condition_en', models.TextField(null=True)),
                ('openness', models.CharField(choices=[('open', 'open'), ('conditional', 'conditional'), ('not-open', 'not-open')], max_length=16)),
                ('update_cycle', models.CharField(choices=[('real-time', 'real-time'), ('daily', 'daily'), ('weekly', 'weekly'), ('monthly', 'monthly'), ('quarterly', 'quarterly'), ('yearly', 'yearly'), ('irregular', 'irregular'), ('once', 'once')], max_length=16)),
                ('published_on', models.DateField(null=True)),
                ('key_item', models.CharField(max_length=63, null=True)),
                ('division_item', models.CharField(max_length=63, null=True)),
                ('source', models.TextField(null=True)),
                ('collector', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
                ('provider', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='Item',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveSmallIntegerField()),
                ('name', models.CharField(max_length=63)),
                ('title_zh', models.TextField()),
                ('title_en', models.TextField()),
                ('type', models.CharField(choices=[('text', 'text'), ('integer', 'integer'), ('decimal', 'decimal'), ('boolean', 'boolean'), ('date', 'date'), ('instant', 'instant')], max_length=10)),
                ('grade', models.PositiveSmallIntegerField(choices=[(1, 'public'), (2, 'internal'), (3, 'sensitive'), (4, 'highly_sensitive')])),
                ('meaning', models.TextField(null=True)),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='items', to='catalog.dataset')),
            ],
        ),
        migrations.CreateModel(
            name='SearchToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.TextField()),
                ('weight', models.IntegerField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tokens', to='catalog.dataset')),
            ],
        ),
        migrations.CreateModel(
            name='Snapshot',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveBigIntegerField()),
                ('rows', models.PositiveBigIntegerField()),
                ('taken_at', models.DateTimeField()),
                ('source_hash', models.CharField(max_length=64)),
                ('rejected_rows', models.PositiveBigIntegerField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='snapshots', to='catalog.dataset')),
            ],
        ),
        migrations.CreateModel(
            name='SnapshotFile',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('position', models.PositiveIntegerField()),
                ('path', models.TextField()),
                ('rows', models.PositiveBigIntegerField()),
                ('bytes', models.PositiveBigIntegerField()),
                ('snapshot', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='files', to='catalog.snapshot')),
            ],
        ),
        migrations.AddIndex(
            model_name='dataset',
            index=models.Index(fields=['provider', 'id'], name='dataset_provider_id'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('sharing__in', ['unconditional', 'conditional', 'not-shared'])), name='dataset_sharing_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('openness__in', ['open', 'conditional', 'not-open'])), name='dataset_openness_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('update_cycle__in', ['real-time', 'daily', 'weekly', 'monthly', 'quarterly', 'yearly', 'irregular', 'once'])), name='dataset_update_cycle_known'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(('sharing_basis', ''), _negated=True), name='dataset_has_sharing_basis'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sharing_condition_en', None), ('sharing_condition_zh', None)), models.Q(('sharing_condition_en__isnull', False), ('sharing_condition_zh__isnull', False)), _connector='OR'), name='dataset_condition_in_both_languages'),
        ),
        migrations.AddConstraint(
            model_name='dataset',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sharing', 'conditional'), _negated=True), ('sharing_condition_zh__isnull', False), _connector='OR'), name='dataset_conditional_has_condition'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.UniqueConstraint(fields=('dataset', 'position'), name='item_position_once'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.UniqueConstraint(models.F('dataset'), django.db.models.functions.text.Lower('name'), name='item_name_once'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.CheckConstraint(condition=models.Q(('type__in', ['text', 'integer', 'decimal', 'boolean', 'date', 'instant'])), name='item_type_known'),
        ),
        migrations.AddConstraint(
            model_name='item',
            constraint=models.CheckConstraint(condition=models.Q(('grade__in', [1, 2, 3, 4])), name='item_grade_known'),
        ),
        migrations.AddConstraint(
            model_name='searchtoken',
            constraint=models.UniqueConstraint(fields=('token', 'dataset'), name='search_token_once'),
        ),
        migrations.AddConstraint(
            model_name='snapshot',
            constraint=models.UniqueConstraint(fields=('dataset', 'version'), name='snapshot_version_once'),
        ),
        migrations.AddConstraint(
            model_name='snapshotfile',
            constraint=models.UniqueConstraint(fields=('snapshot', 'position'), name='snapshot_file_position_once'),
        ),
        migrations.AddConstraint(
            model_name='snapshotfile',
            constraint=models.UniqueConstraint(fields=('snapshot', 'path'), name='snapshot_file_once'),
        ),
    ]
