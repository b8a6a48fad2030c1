"""Borders of countries: Natural Earth 1:10m by way of the npm package world-atlas (scripts/borders.py)."""
