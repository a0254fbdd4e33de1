"""Functions from arrays to arrays. They know nothing of streams, and raise ValueError or OverflowError."""
