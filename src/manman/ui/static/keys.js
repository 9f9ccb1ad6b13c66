"use strict";
// Single keys rest while one types, with a modifier, and where they are switched off.
(() => {
  const places = { o: "/", d: "/deployments", h: "/hosts", s: "/sessions", e: "/events" };
  let going = 0;

  const typing = (at) => at.closest?.("input, textarea, select, [contenteditable]");
  const visible = (node) => node && node.getClientRects().length > 0;

  function go(key) {
    const there = places[key];
    if (there && document.querySelector(`.nav a[href="${there}"]`)) location.assign(there);
  }

  function press(act) {
    const form = document.querySelector(`form[data-power="${act}"]`);
    if (visible(form)) form.requestSubmit();
  }

  function row(step) {
    const links = [...document.querySelectorAll("td .row, .eventlist a, .needs h2 a")].filter(visible);
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    const next = links[Math.min(links.length - 1, Math.max(0, at + step))];
    next.focus();
  }

  const acts = {
    "?": () => document.getElementById("keys-sheet").showModal(),
    "/": () => document.querySelector("[data-filter]")?.select(),
    c: () => document.querySelector("[data-line]:not([hidden])")?.focus(),
    y: () => document.querySelector(".join [data-copy]")?.click(),
    s: () => press("start"),
    r: () => press("restart"),
    t: () => press("stop"),
    j: () => row(1),
    k: () => row(-1),
    "[": () => document.querySelector("[data-earlier]")?.click(),
    "]": () => document.querySelector("[data-later]")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.matches?.("[data-line]")) return void event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || typing(event.target)) return undefined;
    if (document.body.dataset.keys === "off" || document.querySelector("dialog[open]")) return undefined;
    if (Date.now() - going < 1500 && event.key in places) {
      going = 0;
      event.preventDefault();
      return go(event.key);
    }
    going = event.key === "g" ? Date.now() : 0;
    const act = Object.hasOwn(acts, event.key) ? acts[event.key] : null;
    if (act) {
      event.preventDefault();
      act();
    }
    return undefined;
  });
})();
