"""Where rows lie: immutable snapshots of datasets and the side tables of pseudonyms, as Delta Lake tables of Parquet files."""
