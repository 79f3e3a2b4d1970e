"""The doors through which data leaves other than as the answer to a query. Each goes through the gateway's steps: same decision, same
masks, same rows, same record. Lies above the gateway; knows no engine, no SQL of its own beyond naming items, and no web."""
