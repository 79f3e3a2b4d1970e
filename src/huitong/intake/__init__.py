"""Files of an office become typed snapshots. Nothing is guessed silently: what does not fit is named by line, item and reason."""
