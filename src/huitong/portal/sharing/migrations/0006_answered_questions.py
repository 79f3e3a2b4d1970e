# ruff: noqa: RUF012, E501, UP, I001, ARG001 (written by makemigrations)

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0004_token_issued_with'),
        ('catalog', '0006_prospects'),
        ('sharing', '0005_quota'),
    ]

    operations = [
        migrations.CreateModel(
            name='AnsweredQuestion',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('query', models.CharField(max_length=64, unique=True)),
                ('digest', models.CharField(max_length=64)),
                ('snapshot', models.PositiveBigIntegerField()),
                ('at', models.DateTimeField()),
                ('sealed', models.BinaryField()),
                ('answered', models.BooleanField()),
                ('dataset', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='catalog.dataset')),
                ('grant', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='answered_questions', to='sharing.grant')),
                ('office', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.office')),
            ],
            options={
                'indexes': [models.Index(fields=['office', 'dataset', 'id'], name='answered_office_dataset')],
            },
        ),
    ]
