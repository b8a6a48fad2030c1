"""Planning and producing a continent: a ledger of tiles over several back ends."""
