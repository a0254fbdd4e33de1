"""What each node of the graph computes, a batch at a time: plain objects, events in, events out."""
