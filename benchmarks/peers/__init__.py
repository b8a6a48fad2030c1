"""The same preprocessing with other tools, as their users would write it.

Needs the extra `bench`: `.venv/bin/pip install -e .[bench]`.
"""
