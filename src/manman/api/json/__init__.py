"""JSON ⇄ messages, compiled from the descriptors, both ways.

Keys as in the proto; int64 is a number; an enum is its lower-case word; times are RFC 3339 with microseconds and `Z`,
durations "90s", bytes base64. A reply has every key, what is unset is null, of a oneof only the member that is set. Input
is strict, and every fault is told at once, by JSON pointer.
"""

from manman.api.json.read import fill, masked_paths, read, read_text
from manman.api.json.text import CodecFault, duration_text, enum_words, time_text
from manman.api.json.write import any_value, plain, write

__all__ = [
    "CodecFault",
    "any_value",
    "duration_text",
    "enum_words",
    "fill",
    "masked_paths",
    "plain",
    "read",
    "read_text",
    "time_text",
    "write",
]
