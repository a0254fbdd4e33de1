"""The logical graph: what the user's flow says, as immutable data, before anything is rewritten or placed."""
