"""Many guests on one host: what they hold of its memory, and how many of them fit."""
