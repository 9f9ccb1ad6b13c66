"""The bus on RabbitMQ, by pika's asyncio adapter; `bus.connect` is the way in.

`lane` is pika's connection with a fast lane for what carries messages, whose frames `frames` reads and writes; `link` opens
connections and channels as awaitables and turns pika's failures into ours; `declaring` says topology in AMQP; `publisher` is
one channel in confirm mode (heartbeats have one of their own); `consumer` one channel with one consumer; `bus` holds the
connection, opens it again with jittered backoff and declares topology again; `leaders` says what a queue without leader needs;
`admin` speaks the management API when a host joins or leaves. What may go wrong: a refused operation closes its channel, so
operations that can be refused have a channel of their own.
"""
