"""One file per method of adaptation; each is found by being here."""
