"""What callers see: one file a noun. The types are views of the registry's values and hold no logic."""
