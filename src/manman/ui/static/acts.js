"use strict";
// Copying, dialogs, menus, and power buttons that ask. Buttons are optimistic about nothing: what came of it is shown when it is known.
(() => {
  async function copyText(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Plain http on another machine has no clipboard of its own; a selected field has.
      const field = document.createElement("textarea");
      field.value = text;
      field.className = "quiet";
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  async function copy(button) {
    await copyText(button.dataset.copy);
    manman.announce(`Copied ${button.dataset.copy}`);
    const word = button.querySelector("span");
    button.classList.add("copied");
    if (word) word.firstChild.textContent = "Copied";
    else button.title = "Copied";
    setTimeout(() => {
      button.classList.remove("copied");
      if (word) word.firstChild.textContent = "Copy";
    }, 2000);
  }

  let asking = null;
  document.addEventListener("click", (event) => {
    const at = event.target;
    const button = at.closest("[data-copy]");
    if (button) return void copy(button);
    const opener = at.closest("[data-open]");
    if (opener) return open(opener.dataset.open);
    if (at.closest("[data-close]")) return at.closest("dialog").close();
    if (at.closest("[data-confirm]")) return confirmed(at.closest("dialog"));
    const pause = at.closest("[data-pause]");
    if (pause) return void toggle(pause);
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(at)) menu.open = false;
    return undefined;
  });

  function toggle(pause) {
    const on = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(on));
    manman.announce(on ? "Events paused" : "Events go on");
    if (!on) window.manmanRefresh?.();
  }

  function open(id) {
    for (const menu of document.querySelectorAll("details.menu[open]")) menu.open = false;
    const dialog = document.getElementById(id);
    if (dialog && !dialog.open) dialog.showModal();
  }

  function confirmed(dialog) {
    dialog.close();
    if (asking) {
      asking.dataset.asked = "yes";
      asking.requestSubmit();
    }
  }

  // Before htmx hears of it.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    const dialog = form.dataset.ask && document.getElementById(form.dataset.ask);
    if (dialog && form.dataset.asked !== "yes") {
      event.preventDefault();
      event.stopImmediatePropagation();
      asking = form;
      dialog.showModal();
      return;
    }
    delete form.dataset.asked;
    if (form.dataset.closes) document.getElementById(form.dataset.closes).close();
  }, true);

  document.addEventListener("input", (event) => {
    const must = event.target.dataset?.must;
    if (must === undefined) return;
    event.target.form.querySelector("[data-when-typed]").disabled = event.target.value.trim() !== must;
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // An answer that is no outcome of a button (logged out, out of reach) is a page of its own; it does not belong into a button's place.
  document.addEventListener("htmx:before:swap", (event) => {
    const { ctx } = event.detail;
    if (!ctx?.response || ctx.response.status < 400) return;
    event.preventDefault();
    say(ctx.target, `Refused: the page answered ${ctx.response.status}. Reload it and try again.`);
  });
  document.addEventListener("htmx:error", (event) => {
    const target = event.detail?.ctx?.target;
    if (target) say(target, "Not told: the control plane does not answer. Try again.");
  });
  function say(target, text) {
    const told = document.createElement("span");
    told.className = "told bad";
    told.textContent = text;
    target.replaceChildren(told);
  }
  document.addEventListener("htmx:after:swap", () => window.manmanRefresh?.());
})();
