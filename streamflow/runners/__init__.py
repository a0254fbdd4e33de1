"""What executes a flow: `inline` (one thread, seeded, n logical workers) and `local` (one worker, real sinks)."""
