"""The notebook panel: widgets and callbacks over a session; what is shown comes from report/."""
