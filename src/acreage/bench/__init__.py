"""Benchmarks: what the product costs, beside decoding alone and beside what else does the same job."""
