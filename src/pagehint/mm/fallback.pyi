# Only compiled code sees what is in it.
