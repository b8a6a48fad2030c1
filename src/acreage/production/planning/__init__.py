"""The plan of a production: which tiles, what each needs and costs, in which order; written as a ledger.

`places` finds countries and zones, `cropland` and `observations` what the catalogs hold over each tile,
`estimates` what a job takes, `packing` how workers fill machines, `priorities` the order. `plan` puts them
together, `exchange` hands tables to people and takes them back, `picture` draws.
"""
