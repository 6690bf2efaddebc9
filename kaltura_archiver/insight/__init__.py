"""The page and the figures: what is where, what it saves, who owns it."""
