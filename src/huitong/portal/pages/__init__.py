"""The pages: the catalogue for everybody, and for a signed-in office whether it can have a dataset, how and by when."""
