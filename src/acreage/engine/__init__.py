"""Process graph to plan to windows to files."""
