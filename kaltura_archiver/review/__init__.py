"""Plan files: written down, looked at by a person, carried out."""
