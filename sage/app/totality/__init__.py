"""`sage totality serve`: the Totality service over HTTP, and its OpenAPI document."""
