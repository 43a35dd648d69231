"""Floor 7: the commands. Thin, and quick to start: each command's module is imported when it is called."""
