"""Archives are read back: whether each reader finds the same in them, and finds it whole."""
