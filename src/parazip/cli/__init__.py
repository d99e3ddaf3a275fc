"""The command line of `parazip`."""
