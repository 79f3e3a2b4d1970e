# ruff: noqa: RUF012, E501, UP (written by makemigrations)

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('password', models.CharField(max_length=128, verbose_name='password')),
                ('username', models.CharField(max_length=64, unique=True)),
                ('name', models.TextField()),
                ('is_active', models.BooleanField(default=True)),
                ('is_staff', models.BooleanField(default=False)),
                ('created_at', models.DateTimeField()),
            ],
            options={
                'abstract': False,
            },
        ),
        migrations.CreateModel(
            name='Division',
            fields=[
                ('code', models.CharField(max_length=12, primary_key=True, serialize=False)),
                ('name', models.TextField()),
                ('level', models.CharField(choices=[('province', 'province'), ('city', 'city'), ('county', 'county'), ('township', 'township'), ('village', 'village')], max_length=10)),
                ('valid_from', models.DateField()),
                ('valid_to', models.DateField(null=True)),
                ('parent', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='children', to='accounts.division')),
            ],
        ),
        migrations.CreateModel(
            name='Office',
            fields=[
                ('id', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('title_zh', models.TextField()),
                ('title_en', models.TextField()),
                ('level', models.CharField(choices=[('province', 'province'), ('city', 'city'), ('county', 'county'), ('township', 'township'), ('village', 'village')], max_length=10)),
                ('credit_code', models.CharField(max_length=18, unique=True)),
                ('division', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.division')),
                ('superior', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='inferiors', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='Post',
            fields=[
                ('id', models.CharField(max_length=130, primary_key=True, serialize=False)),
                ('created_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='posts', to=settings.AUTH_USER_MODEL)),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='posts', to='accounts.office')),
            ],
        ),
        migrations.CreateModel(
            name='PostRole',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('role', models.CharField(choices=[('analyst', 'analyst'), ('data-officer', 'data-officer'), ('reviewer', 'reviewer'), ('regulator', 'regulator'), ('operator', 'operator')], max_length=16)),
                ('post', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='roles', to='accounts.post')),
            ],
        ),
        migrations.CreateModel(
            name='Token',
            fields=[
                ('prefix', models.CharField(max_length=16, primary_key=True, serialize=False)),
                ('digest', models.BinaryField(max_length=32)),
                ('label', models.TextField()),
                ('scopes', models.JSONField()),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('last_used_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('revoked_by', models.CharField(max_length=64, null=True)),
                ('post', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='tokens', to='accounts.post')),
            ],
        ),
        migrations.AddIndex(
            model_name='division',
            index=models.Index(fields=['level', 'code'], name='division_level_code'),
        ),
        migrations.AddConstraint(
            model_name='division',
            constraint=models.CheckConstraint(condition=models.Q(('level__in', ['province', 'city', 'county', 'township', 'village'])), name='division_level_known'),
        ),
        migrations.AddConstraint(
            model_name='division',
            constraint=models.CheckConstraint(condition=models.Q(('valid_to', None), ('valid_to__gt', models.F('valid_from')), _connector='OR'), name='division_ends_after_start'),
        ),
        migrations.AddIndex(
            model_name='office',
            index=models.Index(fields=['level', 'id'], name='office_level_id'),
        ),
        migrations.AddConstraint(
            model_name='office',
            constraint=models.CheckConstraint(condition=models.Q(('level__in', ['province', 'city', 'county', 'township', 'village'])), name='office_level_known'),
        ),
        migrations.AddConstraint(
            model_name='office',
            constraint=models.CheckConstraint(condition=models.Q(('superior', models.F('id')), _negated=True), name='office_not_its_own_superior'),
        ),
        migrations.AddConstraint(
            model_name='post',
            constraint=models.CheckConstraint(condition=models.Q(('ended_at', None), ('ended_at__gte', models.F('created_at')), _connector='OR'), name='post_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='post',
            constraint=models.UniqueConstraint(condition=models.Q(('ended_at', None)), fields=('account', 'office'), name='post_once_per_office'),
        ),
        migrations.AddConstraint(
            model_name='postrole',
            constraint=models.UniqueConstraint(fields=('post', 'role'), name='post_role_once'),
        ),
        migrations.AddConstraint(
            model_name='postrole',
            constraint=models.CheckConstraint(condition=models.Q(('role__in', ['analyst', 'data-officer', 'reviewer', 'regulator', 'operator'])), name='post_role_known'),
        ),
        migrations.AddIndex(
            model_name='token',
            index=models.Index(fields=['post', 'created_at'], name='token_post_created'),
        ),
        migrations.AddConstraint(
            model_name='token',
            constraint=models.CheckConstraint(condition=models.Q(('expires_at__gt', models.F('created_at'))), name='token_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='token',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('revoked_at', None), ('revoked_by', None)), models.Q(('revoked_at__isnull', False), ('revoked_by__isnull', False)), _connector='OR'), name='token_revoked_by_someone'),
        ),
    ]
