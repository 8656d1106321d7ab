"""What each command may load, start and leave behind: sets and counts, no times."""
