"""Shared parts of tests: harnesses and factories of small random cubes."""
