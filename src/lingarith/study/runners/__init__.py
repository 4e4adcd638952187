"""Who does the steps of a study: one protocol, and a file for each way."""
