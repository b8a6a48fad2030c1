"""Windows on the workers of a Dask cluster: the executor, what its workers run, who makes it.

Nothing here is imported unless a cluster is asked for: Dask's own import takes about a second.
"""
