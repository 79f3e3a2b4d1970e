"""What an item is taken for: Chinese identifiers by checksum and date, names and places by lists, the rest by shape and by title."""
