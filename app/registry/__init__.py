"""What is true of artifacts. Knows neither GraphQL nor any adapter: only the ports and errors of `app.stores`."""
