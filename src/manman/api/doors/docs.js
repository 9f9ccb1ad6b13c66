"use strict";
// Search by text, and a link to a method opens it. Without a script everything is there, closed.
(() => {
  const field = document.querySelector("[type=search]");
  const methods = [...document.querySelectorAll("details")].map((one) => ({ one, text: text(one) }));
  const found = document.querySelector("[role=status]");
  document.querySelector(".search").hidden = false;

  // What it says, takes and answers; not its refusals, which are much the same everywhere.
  function text(one) {
    return [...one.querySelectorAll("summary, p, td:first-child, pre")].map((part) => part.textContent).join(" ").toLowerCase();
  }

  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const { one, text } of methods) {
      one.hidden = !words.every((word) => text.includes(word));
      if (!one.hidden) shown += 1;
    }
    for (const section of document.querySelectorAll("section[data-noun]")) section.hidden = !section.querySelector("details:not([hidden])");
    found.textContent = words.length ? `${shown} of ${methods.length} methods` : "";
  }
  function open() {
    const one = location.hash && document.getElementById(location.hash.slice(1));
    if (one?.tagName !== "DETAILS") return;
    one.open = true;
    one.scrollIntoView();
  }
  field.addEventListener("input", search);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== field) { event.preventDefault(); field.focus(); }
    if (event.key === "Escape" && document.activeElement === field) { field.value = ""; search(); field.blur(); }
  });
  addEventListener("hashchange", open);
  search();
  open();
})();
