"use strict";
// The page stays true: an event that concerns it fetches it again and puts the new values in place. Nothing is inserted or
// re-ordered under the pointer or the focus; a button says how much has changed instead.
(() => {
  const main = () => document.getElementById("main");
  const after = document.querySelector('meta[name="watch-from"]').content;
  let morph = null;
  htmx.registerExtension("manman-live", { init: (api) => { morph = api.morph; } });

  // -- the indicator
  let heard = 0;
  let asOf = manman.now();
  function sign() {
    const place = document.getElementById("livesign");
    const fresh = heard && Date.now() - heard < 20000;
    place.className = `livesign ${fresh ? "good" : "warn"}`;
    manman.put(place.lastElementChild, fresh ? "Live" : heard ? `Reconnecting, as of ${manman.clock(asOf)}` : `Connecting`);
  }
  function hear() {
    heard = Date.now();
    asOf = manman.now();
    sign();
  }
  setInterval(sign, 1000);

  // -- what is said
  function take({ name, data }) {
    if (name === "bye") return location.reload();
    if (name === "away") {
      heard = heard ? 1 : 0;
      return sign();
    }
    if (data.time) manman.heardTime(data.time);
    hear();
    if (name === "reset" || (name === "event" && concerns(data.scope))) soon();
    document.dispatchEvent(new CustomEvent("manman:said", { detail: { name, data } }));
    return undefined;
  }
  function concerns(scope) {
    const mine = (document.body.dataset.scope || "").split(" ");
    return mine.includes("*") || (scope || []).some((one) => mine.includes(one));
  }

  function connect() {
    if (window.SharedWorker) {
      const port = new SharedWorker("/live-worker.js", "manman-live").port;
      port.onmessage = (event) => take(event.data);
      port.start();
      port.postMessage({ after });
      setInterval(() => { if (!heard || heard === 1) port.postMessage({ after }); }, 5000);
      window.addEventListener("pagehide", () => port.postMessage({ leave: true }));
      window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
      return;
    }
    const source = new EventSource(`/live?after=${encodeURIComponent(after)}`);
    for (const name of ["hello", "event", "tick", "reset", "away", "bye"]) {
      source.addEventListener(name, (event) => take({ name, data: JSON.parse(event.data) }));
    }
    source.onerror = () => take({ name: "away", data: {} });
  }

  // -- fetching again
  let busy = false;
  let again = false;
  let began = 0;
  let later = 0;
  // The first event is shown at once; of a flood, a few pages a second. A page that nobody looks at waits until somebody does.
  function soon() {
    if (document.hidden || later) return;
    const wait = Math.max(0, 300 - (Date.now() - began));
    if (!wait) return void refresh();
    later = setTimeout(() => { later = 0; refresh(); }, wait);
  }
  async function refresh() {
    if (busy) { again = true; return; }
    busy = true;
    again = false;
    began = Date.now();
    try {
      const reply = await fetch(location.href, { headers: { accept: "text/html" }, credentials: "same-origin" });
      if (reply.redirected && new URL(reply.url).pathname === "/login") return location.reload();
      if (reply.ok) place(new DOMParser().parseFromString(await reply.text(), "text/html"));
    } catch { heard = heard ? 1 : 0; sign(); }
    busy = false;
    if (again) soon();
    return undefined;
  }
  window.manmanRefresh = refresh;

  function place(fresh) {
    const time = fresh.querySelector('meta[name="server-time"]');
    if (!time || !morph) return;
    manman.heardTime(time.content);
    for (const rows of document.querySelectorAll("[data-rows]")) hold(rows, fresh.getElementById(rows.id));
    const paused = document.querySelector('[data-pause][aria-pressed="true"]');
    if (paused) keep(paused.dataset.pause, fresh);
    const before = state();
    for (const id of ["side", "main"]) {
      const mine = document.getElementById(id);
      morph(mine, fresh.getElementById(id), true);
      htmx.process(mine);
    }
    // "Told cellar" has become a state.
    if (state() !== before) document.getElementById("told")?.replaceChildren();
    document.dispatchEvent(new CustomEvent("manman:placed"));
    manman.tick();
  }

  const state = () => document.querySelector("#title .pill")?.className + document.querySelector("#title .pill span")?.firstChild?.nodeValue;

  function keep(id, fresh) {
    const theirs = fresh.getElementById(id);
    const mine = document.getElementById(id);
    if (theirs && mine) theirs.replaceChildren(...[...mine.childNodes].map((node) => node.cloneNode(true)));
  }

  const rowsOf = (list) => [...list.querySelectorAll(":scope > tbody > tr, :scope > li")];
  function hold(mine, theirs) {
    const button = () => document.querySelector(`[data-changed="${mine.id}"]`);
    const touched = mine.matches(":hover") || mine.contains(document.activeElement);
    if (!theirs || !touched) { button()?.remove(); return; }
    const old = rowsOf(mine);
    const fresh = new Map(rowsOf(theirs).map((row) => [row.id, row]));
    const order = old.map((row) => row.id);
    const changes = order.filter((id) => !fresh.has(id)).length + [...fresh.keys()].filter((id) => !order.includes(id)).length
      + ([...fresh.keys()].filter((id) => order.includes(id)).join() !== order.filter((id) => fresh.has(id)).join() ? 1 : 0);
    const body = theirs.querySelector(":scope > tbody") || theirs;
    body.replaceChildren(...old.map((row) => fresh.get(row.id) || row.cloneNode(true)));
    button()?.remove();
    if (changes) offer(mine, theirs, changes);
  }
  function offer(mine, theirs, changes) {
    const place = document.createElement("div");
    place.className = "changed";
    place.dataset.changed = mine.id;
    const act = document.createElement("button");
    act.type = "button";
    act.className = "button";
    act.textContent = `${changes} changed ↑`;
    place.append(act);
    theirs.before(place);
  }
  document.addEventListener("click", (event) => {
    const place = event.target.closest("[data-changed]");
    if (!place) return;
    const rows = document.getElementById(place.dataset.changed);
    if (rows.contains(document.activeElement)) document.activeElement.blur();
    place.remove();
    const real = rows.matches;
    rows.matches = () => false;
    refresh().finally(() => { rows.matches = real; });
  });

  connect();
  // What no event tells (load, memory) is looked at again while somebody looks.
  setInterval(() => { if (!document.hidden) refresh(); }, 15000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
})();
