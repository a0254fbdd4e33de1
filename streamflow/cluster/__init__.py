"""What decides for a whole job: the coordinator, pure."""
