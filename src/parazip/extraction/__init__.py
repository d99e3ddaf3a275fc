"""Members of an archive become files: what is chosen, where each goes, and how it is written."""
