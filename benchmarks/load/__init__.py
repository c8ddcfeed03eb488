"""`make load`: sustained load over HTTP on the deployed local stack."""
