"""Routes of the openEO API, one module a part of it."""
