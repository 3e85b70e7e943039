"""Training loops of other libraries, with planned steps in them: one file a library, which imports that library."""
