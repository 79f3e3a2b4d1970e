# ruff: noqa: RUF012, E501, UP (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
        ('sharing', '0002_intake_and_catalogue'),
    ]

    operations = [
        migrations.CreateModel(
            name='Extract',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('dataset', models.CharField(max_length=200)),
                ('items', models.JSONField()),
                ('form', models.CharField(choices=[('parquet', 'parquet'), ('csv', 'csv'), ('arrow', 'arrow')], max_length=8)),
                ('purpose', models.TextField()),
                ('person', models.CharField(max_length=64)),
                ('post', models.CharField(max_length=130)),
                ('grant_version', models.PositiveIntegerField()),
                ('terms_hash', models.CharField(max_length=64)),
                ('snapshot', models.PositiveBigIntegerField()),
                ('fingerprint', models.CharField(max_length=64)),
                ('asked_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('ready', 'ready'), ('failed', 'failed'), ('removed', 'removed')], max_length=8)),
                ('attempts', models.PositiveIntegerField()),
                ('rows', models.PositiveBigIntegerField()),
                ('rows_expected', models.PositiveBigIntegerField()),
                ('bytes', models.PositiveBigIntegerField()),
                ('sha256', models.CharField(max_length=64)),
                ('query', models.CharField(max_length=64)),
                ('ready_at', models.DateTimeField(null=True)),
                ('removed_at', models.DateTimeField(null=True)),
                ('reasons', models.JSONField(default=list)),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='sharing.grant')),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='Address',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('grant', models.CharField(max_length=64)),
                ('grant_version', models.PositiveIntegerField()),
                ('office', models.CharField(max_length=64)),
                ('person', models.CharField(max_length=64)),
                ('post', models.CharField(max_length=130)),
                ('issued_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('extract', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='addresses', to='delivery.extract')),
            ],
        ),
        migrations.CreateModel(
            name='AddressMark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('mark', models.CharField(choices=[('begun', 'begun'), ('completed', 'completed'), ('cut', 'cut'), ('refused', 'refused')], max_length=10)),
                ('address', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='marks', to='delivery.address')),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('mark__in', ['begun', 'completed', 'cut', 'refused'])), name='address_mark_known'), models.UniqueConstraint(fields=('address', 'mark'), name='address_mark_once')],
            },
        ),
        migrations.AddIndex(
            model_name='extract',
            index=models.Index(fields=['office', 'asked_at'], name='extract_office_asked'),
        ),
        migrations.AddIndex(
            model_name='extract',
            index=models.Index(fields=['state', 'asked_at'], name='extract_state_asked'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['waiting', 'running', 'ready', 'failed', 'removed'])), name='extract_state_known'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(('form__in', ['parquet', 'csv', 'arrow'])), name='extract_form_known'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), ('ready_at__isnull', False), _connector='OR'), name='extract_ready_with_instant'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'removed'), _negated=True), ('removed_at__isnull', False), _connector='OR'), name='extract_removed_with_instant'),
        ),
        migrations.AddConstraint(
            model_name='extract',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['waiting', 'running', 'ready'])), fields=('grant', 'grant_version', 'fingerprint', 'form'), name='extract_written_once'),
        ),
        migrations.AddIndex(
            model_name='address',
            index=models.Index(fields=['expires_at'], name='address_expires'),
        ),
        migrations.AddConstraint(
            model_name='address',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('issued_at'))), name='address_ends_after_start'),
        ),
    ]
