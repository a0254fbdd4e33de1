"""Bytes to batches and back, column-wise, apart from where the bytes come from."""
