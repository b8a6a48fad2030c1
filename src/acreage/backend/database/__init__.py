"""What the server must not forget: accounts, tokens, stored processes, jobs."""
