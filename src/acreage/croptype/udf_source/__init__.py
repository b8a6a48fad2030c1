"""The text of the UDF, and what training shares with it."""
