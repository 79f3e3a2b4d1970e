"""Who takes part: divisions, offices, accounts with their posts, tokens."""
