"""One file a contender; each is a program that waits for requests on its standard input."""
