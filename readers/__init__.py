"""Other people's readers of zip archives: what each of them sees in an archive."""
