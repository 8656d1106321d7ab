"""Rules on the text of the project, as ordinary tests."""
