# ruff: noqa: RUF012 (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0009_stamps'),
    ]

    operations = [
        migrations.CreateModel(
            name='RunningUse',
            fields=[
                ('query', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('person', models.CharField(max_length=130)),
                ('post', models.CharField(max_length=130)),
                ('office', models.CharField(max_length=130)),
                ('purpose', models.CharField(max_length=130)),
                ('datasets', models.JSONField()),
                ('door', models.CharField(max_length=16)),
                ('since', models.DateTimeField()),
                ('seen_at', models.DateTimeField()),
                ('cancelled_by', models.CharField(max_length=130, null=True)),
            ],
            options={
                'indexes': [models.Index(fields=['office', 'since'], name='running_use_office')],
            },
        ),
    ]
