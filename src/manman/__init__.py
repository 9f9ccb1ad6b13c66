"""ManMan runs game servers on machines people own."""
