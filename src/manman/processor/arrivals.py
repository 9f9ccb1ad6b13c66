"""From a delivery to what it means: decoded once, at the edge."""

from manman.errors import Malformed
from manman.events import codec
from manman.events.bus import Delivery
from manman.processor.world import Arrived


def arrive(delivery: Delivery, own_user: str | None, taken: float | None = None) -> Arrived:
    """Decode a delivery that was taken then, by the loop's clock; what does not decode keeps its bytes, the
    reason and what its envelope says, so that nothing is lost."""
    headers = delivery.headers if type(delivery.headers) is dict else dict(delivery.headers)
    from_control_plane = delivery.user_id == own_user
    try:
        message = codec.decode(delivery.key, headers, delivery.body, delivery.user_id)
    except Malformed as error:
        return Arrived(
            key=delivery.key,
            headers=headers,
            body=delivery.body,
            envelope=codec.envelope_of(delivery.key, headers, delivery.user_id),
            malformed=str(error),
            from_control_plane=from_control_plane,
            taken=taken,
        )
    return Arrived(
        key=delivery.key,
        headers=headers,
        body=delivery.body,
        message=message,
        from_control_plane=from_control_plane,
        taken=taken,
    )
