"""What a request may do: authorise, page, batch. Takes and returns values of the registry."""
