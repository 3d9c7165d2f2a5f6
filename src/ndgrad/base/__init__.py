"""What everything else stands on: dtypes, shapes, modes, errors. No array of ours is made here."""
