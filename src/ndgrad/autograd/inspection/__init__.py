"""Looking at graphs: what they hold, and what the program calls that."""
