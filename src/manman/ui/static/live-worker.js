"use strict";
// One stream for all tabs of a browser: the tabs are ports, each is told everything that is said.
const ports = new Set();
let source = null;
let last = { name: "away", data: {} };

function tell(said) {
  last = said;
  for (const port of ports) port.postMessage(said);
}

function open(after) {
  source = new EventSource(`/live?after=${encodeURIComponent(after)}`);
  for (const name of ["hello", "event", "tick", "reset", "away", "bye"]) {
    source.addEventListener(name, (event) => {
      tell({ name, data: JSON.parse(event.data) });
      if (name === "bye") close();
    });
  }
  source.onerror = () => {
    tell({ name: "away", data: {} });
    // A browser gives up for good on some answers; the next tab that speaks opens anew.
    if (source && source.readyState === EventSource.CLOSED) close();
  };
}

function close() {
  if (source) source.close();
  source = null;
}

self.onconnect = (event) => {
  const port = event.ports[0];
  ports.add(port);
  port.onmessage = (message) => {
    if (message.data.leave) {
      ports.delete(port);
      if (!ports.size) close();
    } else if (!source) {
      open(message.data.after || "");
    } else {
      port.postMessage(last);
    }
  };
  port.start();
};
