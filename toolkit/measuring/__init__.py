"""Numbers about what was found: areas, lengths, shapes and colors of objects, and shares of classes."""
