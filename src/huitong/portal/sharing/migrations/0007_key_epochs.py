# ruff: noqa: RUF012, UP, I001 (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('sharing', '0006_answered_questions'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyEpoch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('linkage_group', models.TextField()),
                ('number', models.PositiveIntegerField()),
                ('key', models.PositiveIntegerField()),
                ('began_at', models.DateTimeField(null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('linkage_group', 'number'), name='key_epoch_once')],
            },
        ),
    ]
