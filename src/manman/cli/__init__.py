"""The command `manman`: a module for each noun, over the client, imported when called; `serve` builds each process, `up` runs them all."""
