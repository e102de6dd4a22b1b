"""What is done on a node over SSH: its claim, and its restart. Small POSIX sh scripts with distinct answers."""
