"""What is put in: paths, folders and archives become members."""
