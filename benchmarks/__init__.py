"""Speed on this machine, measured and printed; nothing here is a test."""
