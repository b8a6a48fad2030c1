"""The same preprocessing with other tools, as their users would write it.

Needs `pip install acreage[bench]`.
"""
