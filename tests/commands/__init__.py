"""What containers may use and do use: limits, statistics, events, and what the runtime can do."""
