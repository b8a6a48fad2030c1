"""The ledger of a production: its tiles, their batch jobs and all that happened, in one database.

`store` makes and opens it; `leases` gives tiles to runners; `attempts` commits each step of a batch job;
`settings` holds back ends and controls; `tiles` and `events` are read by people. Every change is one
transaction with its event, and takes the time as an argument.
"""
