"""The web pages: server-rendered, over the typed API client by real HTTP, as the person whose cookie it is.

It holds no right and no rule of its own: what the API refuses, the page says.
"""
