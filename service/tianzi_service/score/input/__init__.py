"""What is to be answered: files and folders, on disk or at URLs, as a stream of entries."""
