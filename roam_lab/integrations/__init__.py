"""roam-lab inside other libraries' training loops, one file a library: import the one that you use."""
