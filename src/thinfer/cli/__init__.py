"""Level 6: one short file a command, which parses, calls and prints."""
