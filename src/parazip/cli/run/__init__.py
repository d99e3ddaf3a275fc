"""`parazip run`: any Python program, with `zipfile.ZipFile` replaced by parazip's."""
