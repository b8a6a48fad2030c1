"""Batch jobs: their records, who runs them, the process of one, its log and its results."""
