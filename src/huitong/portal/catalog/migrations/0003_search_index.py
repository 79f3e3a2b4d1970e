# ruff: noqa: RUF012, UP (written by makemigrations)

import json
import secrets

import django.db.models.deletion
from django.db import migrations, models


def keep_postings_as_they_are(apps, editor):  # noqa: ARG001
    """Postings are packed already: PostgreSQL need not try to compress them, nor unpack them for every search."""
    if editor.connection.vendor == 'postgresql':
        editor.execute('ALTER TABLE catalog_searchposting ALTER COLUMN places SET STORAGE EXTERNAL')


def take_over_tokens(apps, editor):
    """Entries that are in the catalogue already are found as before."""
    using = editor.connection.alias
    datasets = apps.get_model('catalog', 'Dataset').objects.using(using).prefetch_related('items', 'tokens').order_by('id')
    entries = []
    for doc, dataset in enumerate(datasets.iterator(500)):
        items = list(dataset.items.all())
        entries.append(
            apps.get_model('catalog', 'SearchEntry')(
                doc=doc,
                dataset_id=dataset.id,
                edition=1,
                fresh=True,
                words=json.dumps({token.token: token.weight for token in dataset.tokens.all()}),
                provider=dataset.provider_id,
                collector=dataset.collector_id,
                visibility=dataset.visibility,
                known_to=json.dumps(sorted(dataset.known_to)),
                meanings=json.dumps(sorted({item.meaning for item in items if item.meaning is not None})),
                family=dataset.classification[:1],
                grade=str(max(item.grade for item in items)),
                sharing=dataset.sharing,
                openness=dataset.openness,
                cycle=dataset.update_cycle,
            )
        )
    if entries:
        apps.get_model('catalog', 'SearchEntry').objects.using(using).bulk_create(entries, batch_size=500)
        apps.get_model('catalog', 'SearchState').objects.using(using).create(
            id=1, born=secrets.token_hex(16), edition=1, next_doc=len(entries), fresh=len(entries)
        )


class Migration(migrations.Migration):

    dependencies = [
        ('catalog', '0002_intake_and_catalogue'),
    ]

    operations = [
        migrations.CreateModel(
            name='SearchSegment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('docs', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='SearchEntry',
            fields=[
                ('doc', models.PositiveIntegerField(primary_key=True, serialize=False)),
                ('edition', models.PositiveBigIntegerField(db_index=True)),
                ('fresh', models.BooleanField()),
                ('words', models.TextField()),
                ('provider', models.TextField()),
                ('collector', models.TextField()),
                ('visibility', models.TextField()),
                ('known_to', models.TextField()),
                ('meanings', models.TextField()),
                ('family', models.TextField()),
                ('grade', models.TextField()),
                ('sharing', models.TextField()),
                ('openness', models.TextField()),
                ('cycle', models.TextField()),
                ('dataset', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalog.dataset')),
            ],
        ),
        migrations.CreateModel(
            name='SearchPosting',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token', models.BinaryField()),
                ('places', models.BinaryField()),
                ('segment', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalog.searchsegment')),
            ],
        ),
        migrations.CreateModel(
            name='SearchState',
            fields=[
                ('id', models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ('born', models.CharField(max_length=32)),
                ('edition', models.PositiveBigIntegerField(default=0)),
                ('folded', models.PositiveBigIntegerField(default=0)),
                ('parties', models.PositiveBigIntegerField(default=0)),
                ('next_doc', models.PositiveIntegerField(default=0)),
                ('fresh', models.PositiveIntegerField(default=0)),
            ],
            options={
                'constraints': [models.CheckConstraint(condition=models.Q(('id', 1)), name='search_state_single_row')],
            },
        ),
        migrations.AddIndex(
            model_name='searchentry',
            index=models.Index(condition=models.Q(('fresh', True)), fields=['doc'], name='search_entry_fresh'),
        ),
        migrations.AddConstraint(
            model_name='searchposting',
            constraint=models.UniqueConstraint(fields=('token', 'segment'), name='search_posting_once'),
        ),
        migrations.RunPython(keep_postings_as_they_are, migrations.RunPython.noop),
        migrations.RunPython(take_over_tokens, migrations.RunPython.noop),
    ]
