from typing import ClassVar

from django.db import migrations


class Migration(migrations.Migration):
    dependencies: ClassVar = [("catalog", "0003_search_index")]
    operations: ClassVar = [migrations.DeleteModel(name="SearchToken")]
