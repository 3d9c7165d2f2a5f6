"""The parts of the profilers: what is recorded, the events that it becomes, and how these are printed and written."""
