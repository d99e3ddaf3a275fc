"""The command line of `parazip create`."""
