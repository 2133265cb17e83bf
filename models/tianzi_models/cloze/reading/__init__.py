"""What a request says: its blanks and their numbers, what to choose among, and the words of its texts."""
