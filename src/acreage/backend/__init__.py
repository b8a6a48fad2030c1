"""The openEO back end: routes, accounts, batch jobs and what they leave, over the engine."""
