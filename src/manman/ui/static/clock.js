"use strict";
// Ages tick by the server's clock: a browser whose own clock is wrong still shows true ages.
const manman = (() => {
  const said = document.querySelector('meta[name="server-time"]');
  let offset = said ? Date.parse(said.content) - Date.now() : 0;
  const two = (n) => String(n).padStart(2, "0");

  function span(seconds) {
    const s = Math.max(0, Math.floor(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  }

  const now = () => Date.now() + offset;

  function clock(at) {
    const shift = Number(document.body.dataset.offset || 0) * 1000;
    const local = new Date(at + shift);
    return `${two(local.getUTCHours())}:${two(local.getUTCMinutes())}:${two(local.getUTCSeconds())}`;
  }

  function put(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  function tick() {
    for (const age of document.querySelectorAll(".age[data-since]")) {
      put(age, span((now() - Date.parse(age.dataset.since)) / 1000));
    }
    for (const time of document.querySelectorAll("[data-clock]")) {
      put(time, `${clock(now())} ${time.dataset.zone}`);
    }
  }
  setInterval(tick, 1000);

  function announce(text) {
    const place = document.getElementById("announce");
    if (place) place.textContent = text;
  }

  return { span, now, clock, tick, put, announce, heardTime: (iso) => { offset = Date.parse(iso) - Date.now(); } };
})();
