"""The nouns and the one door: tensors, nodes, primitives, families, views, in-place. Knows no operation by name."""
