"""What runs a governed query. Nothing here decides who may see what: the gateway has decided before an engine is asked."""
