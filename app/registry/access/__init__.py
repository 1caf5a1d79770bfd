"""Who may do what: read from Git, decided in one place."""
