"""SSH: one kept connection per destination, checked against known_hosts, with a limit on everything."""
