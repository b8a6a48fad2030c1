"""User-defined functions, each run in a process of its own."""
