"""Work done side by side: threads, helper processes, one budget. Knows nothing of zip."""
