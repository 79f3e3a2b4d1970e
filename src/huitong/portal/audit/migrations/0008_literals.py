# ruff: noqa: RUF012 (written by makemigrations)

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0007_uses_of_data'),
    ]

    operations = [
        migrations.CreateModel(
            name='Literal',
            fields=[
                ('digest', models.CharField(max_length=64, primary_key=True, serialize=False)),
                ('sealed', models.BinaryField()),
                ('at', models.DateTimeField()),
            ],
        ),
    ]
