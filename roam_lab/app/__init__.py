"""What can be asked for, what does it, and what keeps the results: shared by command line, magic and panel."""
