"""How fast reading is, as ratios of what the same machine does by other means at the same time."""
