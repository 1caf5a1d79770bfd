"""A server seen from outside: asked over GraphQL as any program would, and shown to people."""
