"""What is said, and the bus that carries it: contracts, topics, codec, announcements, the `Bus` protocol.

Nothing in here acts but `rabbit`.
"""
