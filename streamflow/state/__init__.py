"""What operators remember: containers that the host snapshots and restores by key group."""
