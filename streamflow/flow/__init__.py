"""What users write: flows, streams, expressions, windows. Builds the logical graph and knows nothing below it."""
