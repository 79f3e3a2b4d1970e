# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_intake_and_catalogue'),
    ]

    operations = [
        migrations.CreateModel(
            name='Identity',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('issuer', models.CharField(max_length=255)),
                ('subject', models.CharField(max_length=255)),
                ('linked_at', models.DateTimeField()),
                ('linked_by', models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='StaffMode',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('words', models.TextField()),
                ('opened_at', models.DateTimeField()),
                ('until', models.DateTimeField()),
                ('closed_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Try',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=72)),
                ('at', models.DateTimeField(db_index=True)),
            ],
        ),
        migrations.AddField(
            model_name='account',
            name='keeper',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='keeps', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='account',
            name='kind',
            field=models.CharField(choices=[('person', 'person'), ('service', 'service')], default='person', max_length=8),
        ),
        migrations.AddConstraint(
            model_name='account',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('keeper', None), ('kind', 'person')), models.Q(('keeper__isnull', False), ('kind', 'service')), _connector='OR'), name='account_service_has_keeper'),
        ),
        migrations.AddField(
            model_name='identity',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='identities', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='staffmode',
            name='post',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='staff_modes', to='accounts.post'),
        ),
        migrations.AddIndex(
            model_name='try',
            index=models.Index(fields=['key', 'at'], name='try_key_at'),
        ),
        migrations.AddConstraint(
            model_name='identity',
            constraint=models.UniqueConstraint(fields=('issuer', 'subject'), name='identity_once'),
        ),
        migrations.AddConstraint(
            model_name='staffmode',
            constraint=models.CheckConstraint(condition=models.Q(('until__gt', models.F('opened_at'))), name='staff_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='staffmode',
            constraint=models.UniqueConstraint(condition=models.Q(('closed_at', None)), fields=('post',), name='staff_open_once'),
        ),
    ]
