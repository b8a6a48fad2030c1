"""Simulated scenes over a simulated landscape with known truth."""
