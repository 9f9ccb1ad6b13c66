"""Icons: 16 px, stroke 1.5, told apart by their outline, never by colour alone.

Each is the inside of an `svg` element; `icon()` in `render.py` wraps it, so that no request is made for any.
"""

from typing import Final

OCTAGON: Final = '<path d="M5.5 1.9h5l3.6 3.6v5l-3.6 3.6h-5L1.9 10.5v-5z"/>'
RING: Final = '<path d="M8 2a6 6 0 1 1-6 6"/>'
CLOCK: Final = '<circle cx="8" cy="8" r="6"/><path d="M8 4.6V8l2.4 1.5"/>'
TURN: Final = '<path d="M13.3 8.6A5.4 5.4 0 1 1 12 4.5l1.4 1.3M13.5 2.4v3.5H10"/>'
BELL: Final = '<path d="M4 11.2V7a4 4 0 0 1 8 0v4.2l1 1.3H3zM6.7 14.2h2.6"/>'

ICONS: Final[dict[str, str]] = {
    # states
    "clock": CLOCK,
    "ring": RING,
    "disc": '<circle cx="8" cy="8" r="4.2" fill="currentColor" stroke="none"/>',
    "broken-ring": '<circle cx="8" cy="8" r="2.2" fill="currentColor" stroke="none"/>'
    '<path d="M4 12.4A6 6 0 0 1 3 4.9M6 2.3a6 6 0 0 1 5.6.9M13.6 6a6 6 0 0 1-1.8 6.6M8.9 13.9a6 6 0 0 1-2.2 0"/>',
    "crescent": '<path d="M13.2 9.7A5.7 5.7 0 1 1 6.6 2.6a4.6 4.6 0 0 0 6.6 7.1z"/>',
    "square-outline": '<rect x="3.8" y="3.8" width="8.4" height="8.4" rx="1"/>',
    "square": '<rect x="3.8" y="3.8" width="8.4" height="8.4" rx="1" fill="currentColor" stroke="none"/>',
    "cross-octagon": OCTAGON + '<path d="m6 6 4 4m0-4-4 4"/>',
    "bar-octagon": OCTAGON + '<path d="M5.2 8h5.6"/>',
    "pause": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "pulse": '<path d="M1.2 8.5h2.6L6 3.2l3.6 9.4 2-4.1h3.2"/>',
    "silent": '<path d="M1 8h3.2M11.8 8H15M8 3.4v5.4M8 12v.2"/>',
    "power": '<path d="M8 1.8v5.4M4.6 4.1a5.4 5.4 0 1 0 6.8 0"/>',
    "tray": '<path d="M8 1.8v7.4M5 6.4l3 3 3-3M2.2 10.4v3.4h11.6v-3.4"/>',
    "struck-ear": '<path d="M4.3 6.4a3.8 3.8 0 0 1 7.5 0c0 2.2-2 2.6-2 4.4A2.3 2.3 0 0 1 6 12.7M8 5.4a1.4 1.4 0 0 1 1.4 1.4"/>'
    '<path d="m2 2 12 12"/>',
    "tick": '<circle cx="8" cy="8" r="6"/><path d="m5.4 8.2 1.9 1.9 3.4-3.8"/>',
    "shield": '<path d="M8 1.8 13 3.6v4c0 3.2-2 5.4-5 6.6-3-1.2-5-3.4-5-6.6v-4z"/><path d="m5.7 7.9 1.7 1.7 3-3.4"/>',
    "padlock": '<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2"/>',
    "turn": TURN,
    "struck-bell": BELL + '<path d="m2 2 12 12"/>',
    # the interface
    "overview": '<rect x="2" y="2" width="5" height="5" rx="1"/><rect x="9" y="2" width="5" height="5" rx="1"/>'
    '<rect x="2" y="9" width="5" height="5" rx="1"/><rect x="9" y="9" width="5" height="5" rx="1"/>',
    "deployments": '<path d="m8 1.8 6.2 3.3L8 8.4 1.8 5.1zM1.8 8.2 8 11.5l6.2-3.3M1.8 11.2 8 14.5l6.2-3.3"/>',
    "hosts": '<rect x="1.8" y="2.4" width="12.4" height="4.8" rx="1.3"/><rect x="1.8" y="8.9" width="12.4" height="4.8" rx="1.3"/>'
    '<path d="M4.6 4.8h.1M4.6 11.3h.1"/>',
    "sessions": '<path d="M4 2.6 13 8l-9 5.4z"/>',
    "events": '<path d="M5.4 4h9M5.4 8h9M5.4 12h9M2 4h.1M2 8h.1M2 12h.1"/>',
    "more": '<path d="M3.2 8h.1M8 8h.1M12.8 8h.1" stroke-width="2.4"/>',
    "search": '<circle cx="7" cy="7" r="4.6"/><path d="m10.6 10.6 3.6 3.6"/>',
    "copy": '<rect x="5.4" y="5.4" width="8.4" height="8.4" rx="1.6"/><path d="M10.6 5.2V3.6A1.4 1.4 0 0 0 9.2 2.2H3.6'
    'a1.4 1.4 0 0 0-1.4 1.4v5.6a1.4 1.4 0 0 0 1.4 1.4h1.6"/>',
    "done": '<path d="m3 8.6 3.2 3.2L13 4.6"/>',
    "arrow": '<path d="M2.6 8h10.4M9.4 4.4 13 8l-3.6 3.6"/>',
    "down": '<path d="M8 2.6v10.6M4.2 9.4 8 13.2l3.8-3.8"/>',
    "wrap": '<path d="M2 3.4h12M2 8h9.6a2.3 2.3 0 0 1 0 4.6H8M9.8 10.8 8 12.6l1.8 1.8M2 12.6h2.6"/>',
    "download": '<path d="M8 2v7.6M4.8 6.6 8 9.8l3.2-3.2M2.4 13.4h11.2"/>',
    "smaller": '<path d="M3.4 8h9.2"/>',
    "bigger": '<path d="M3.4 8h9.2M8 3.4v9.2"/>',
    "warning": '<path d="M8 2.2 14.6 13.6H1.4zM8 6.4v3.4M8 11.8v.1"/>',
    "keyboard": '<rect x="1.4" y="3.6" width="13.2" height="8.8" rx="1.4"/><path d="M4 6.6h.1M6.7 6.6h.1M9.3 6.6h.1M12 6.6h.1M5 9.6h6"/>',
    "open": '<path d="M6.4 3H3v10h10V9.6M9 2.6h4.4V7M13.2 2.8 7.4 8.6"/>',
    "up": '<path d="M8 13.4V2.8M4.2 6.6 8 2.8l3.8 3.8"/>',
    "unlink": '<path d="M6.4 9.6 9.6 6.4M7 4.4l1.4-1.4a3.2 3.2 0 0 1 4.6 4.6L11.6 9M9 11.6 7.6 13A3.2 3.2 0 0 1 3 8.4L4.4 7"/>',
}
