"""What runs a physical graph: the task (pure), the watermark of a read, the clock."""
