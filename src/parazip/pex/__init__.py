"""`parazip pex`: pex's own command line, with parazip where pex writes zips."""
