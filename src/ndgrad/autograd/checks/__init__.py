"""The parts of gradcheck: derivatives by the engine and by differences, what they are compared by, and where they must differ."""
