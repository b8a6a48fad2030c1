"""The command line: thin, and the only place where the parts are wired together."""
