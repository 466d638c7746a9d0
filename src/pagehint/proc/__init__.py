"""Reading the text of /proc files: zones, free lists, counters, and the flags of each page."""
