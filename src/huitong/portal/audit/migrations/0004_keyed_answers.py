# ruff: noqa: RUF012, E501, UP (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0003_kinds_grow'),
    ]

    operations = [
        migrations.CreateModel(
            name='KeyedAnswer',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('post', models.CharField(max_length=130)),
                ('key', models.CharField(max_length=255)),
                ('content', models.CharField(max_length=64)),
                ('attempt', models.PositiveIntegerField()),
                ('whole', models.BooleanField()),
                ('state', models.CharField(max_length=8)),
                ('at', models.DateTimeField(db_index=True)),
                ('status', models.PositiveSmallIntegerField(null=True)),
                ('headers', models.JSONField(null=True)),
                ('body', models.BinaryField(null=True)),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('post', 'key'), name='keyed_answer_once'), models.CheckConstraint(condition=models.Q(models.Q(('body__isnull', False), ('headers__isnull', False), ('state', 'answered'), ('status__isnull', False)), models.Q(('body', None), ('state__in', ['begun', 'broken']), ('status', None)), _connector='OR'), name='keyed_answer_with_its_answer')],
            },
        ),
    ]
