"""The catalogue as a live site: search by meaning, votes, subscription, digest, proposals."""
