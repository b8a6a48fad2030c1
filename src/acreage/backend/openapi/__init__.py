"""The OpenAPI document of the server, and bodies of requests checked against it."""
