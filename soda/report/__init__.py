"""The report's page: `render` fills templates/ with what the other modules read, a part of the page each."""
