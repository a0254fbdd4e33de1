"""From the logical graph over rewrite rules to the physical graph of n workers."""
