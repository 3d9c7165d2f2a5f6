"""Looking at graphs from outside: what they hold, what the program calls it, and when a backward begins."""
