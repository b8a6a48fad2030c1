"""The engine: process graph to plan to windows to files."""
