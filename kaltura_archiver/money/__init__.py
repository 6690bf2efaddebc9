"""What storing, thawing and asking cost."""
