"""Streaming composites: load, mask, reduce by period without ever holding the observations of the season.

`trace` follows a cube back to its load, `timewise` says which masks can be made date by date, `find` puts
both together (what fires, and why not), `task` computes one period of one window. docs/engine.md describes
the whole.
"""
