"""`soda map`: all pictures of a folder on one page that opens offline, alike ones side by side."""
