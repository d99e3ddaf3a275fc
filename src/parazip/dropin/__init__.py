"""A face of its own: `ZipFile`, which takes the place of the standard library's."""
