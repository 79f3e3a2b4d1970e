"""What may be found: divisions, entries and their publication, search in Chinese and English."""
