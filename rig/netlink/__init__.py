"""A network of the bench's own: two namespaces, a link between them as bad as wanted, a packet filter."""
