"""An experiment whose clients are on machines of their own: what each side builds from its file."""
