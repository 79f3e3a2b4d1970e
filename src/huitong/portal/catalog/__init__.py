"""What there is: published entries, their snapshots, and the words by which they are found."""
