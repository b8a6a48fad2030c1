"""Who may do what: logins by name and password, OpenID Connect, tokens."""
