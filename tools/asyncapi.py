"""Writes docs/reference/asyncapi.json: what is published on `external`, from the contracts; a house test holds it equal."""

import json
from pathlib import Path
from typing import Any

import msgspec

import manman
from manman.events import contracts, envelope, topics

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "asyncapi.json"
MEANING = {
    "manman.host.online": "A host is heard for the first time, or again (`silent_for`: seconds it had been away).",
    "manman.host.offline": "A host's agent said goodbye.",
    "manman.host.stale": "A host fell silent without a goodbye (`last_seen`, `threshold`, `mass` when most hosts did).",
    "manman.session.running": "Players can join at `endpoints`.",
    "manman.session.stopped": "It ended as somebody asked, or by itself with an expected exit code.",
    "manman.session.crashed": "Nobody asked for this end (`reason`, `exit_code`, `signal`, `tail`, `restart`).",
    "manman.session.unreachable": "Its host left; whether the game goes on is not known.",
    "manman.session.reachable": "Its host is back.",
}
ATTRIBUTES = {
    "specversion": "Always 1.0.",
    "id": "UUIDv7 of the event; the same when it comes twice.",
    "source": "Who says it.",
    "type": "The routing key.",
    "subject": "`sessions/<id>` or `hosts/<id>`.",
    "time": "When it happened, RFC 3339.",
    "sequence": "Decimal text; rises within the subject, not always by one.",
    "traceparent": "W3C trace context, where there is one.",
}


def document() -> dict[str, Any]:
    """The AsyncAPI 3.0 document as JSON values."""
    assert set(MEANING) == topics.PUBLIC, "every public event needs its meaning here"
    [host, session], schemas = msgspec.json.schema_components(
        [contracts.HostEvent, contracts.SessionEvent], ref_template="#/components/schemas/{name}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "ManMan events",
            "version": manman.__version__ if hasattr(manman, "__version__") else "1",
            "description": "CloudEvents 1.0 in binary mode on the topic exchange `external`; bodies are flat JSON.",
        },
        "defaultContentType": envelope.CONTENT_TYPE,
        "channels": {key: channel(key) for key in sorted(MEANING)},
        "operations": {
            key: {"action": "send", "channel": {"$ref": f"#/channels/{key}"}, "summary": MEANING[key]}
            for key in sorted(MEANING)
        },
        "components": {
            "messages": {
                key: {
                    "name": key,
                    "summary": MEANING[key],
                    "headers": {"$ref": "#/components/schemas/CloudEvent"},
                    "payload": host if key.startswith("manman.host.") else session,
                }
                for key in sorted(MEANING)
            },
            "schemas": {**schemas, "CloudEvent": headers()},
        },
    }


def channel(key: str) -> dict[str, Any]:
    """One routing key."""
    exchange = {"name": topics.EXTERNAL, "type": "topic", "durable": True, "autoDelete": False}
    return {
        "address": key,
        "messages": {"event": {"$ref": f"#/components/messages/{key}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}},
    }


def headers() -> dict[str, Any]:
    """The AMQP headers of every event."""
    named = {envelope.PREFIX + name: {"type": "string", "description": text} for name, text in ATTRIBUTES.items()}
    required = [envelope.PREFIX + name for name in ("specversion", "id", "source", "type")]
    return {"type": "object", "properties": named, "required": required}


def text() -> str:
    """The file's content."""
    return json.dumps(document(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text(), encoding="utf-8")
