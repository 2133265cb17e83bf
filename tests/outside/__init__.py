"""Scripts that call a server with other projects' clients, each in a process of its own: their stubs and ours describe
the same messages, and a process can hold only one description."""
