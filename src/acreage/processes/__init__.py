"""openEO processes: plain functions on in-memory cubes and masked arrays, beside their descriptions and
footprints.
"""
