"""What an output is worth: overlap with a reference, its language, and how sure a difference is."""
