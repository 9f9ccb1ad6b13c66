"use strict";
// The console: numbered lines as text nodes, never markup. Bounded: what scrolls out of the bound can be loaded again.
(() => {
  const MOST = 5000;
  // Rows lie in blocks: what is out of sight is not laid out, and what falls out of the bound goes a block at a time.
  const BLOCK = 100;
  // In em, as the style has it.
  const HEIGHT = 1.58;
  // Milliseconds between two looks at a flood: nobody reads faster.
  const PACE = 200;
  const clamp = (n, low, high) => Math.min(high, Math.max(low, n));

  // The lines on the page, in blocks of rows. Of a flood only the newest rows are made at once; a block that nobody has come near
  // keeps its lines as they came, and the room for them.
  class Lines {
    constructor(box) {
      this.box = box;
      this.rows = 0;
      this.blocks = [{ list: box.querySelector("ol"), count: 0, first: 0, kept: null }];
      this.near = new IntersectionObserver((seen) => {
        for (const one of seen) if (one.isIntersecting) this.fill(this.blocks.find((block) => block.list === one.target));
      }, { root: box, rootMargin: "600px 0px" });
    }

    get first() { return this.blocks.find((block) => block.first)?.first || 0; }

    add(lines) {
      const old = lines.length - BLOCK;
      const newest = old > BLOCK ? lines.slice(old) : lines;
      if (newest !== lines) {
        for (let at = 0; at < old; at += BLOCK) this.keep(lines.slice(at, Math.min(at + BLOCK, old)), this.blocks.length);
        this.open();
      }
      for (let at = 0; at < newest.length;) {
        const block = this.open();
        const part = newest.slice(at, at + BLOCK - block.count);
        block.list.append(...part.map((line) => this.row(line)));
        this.counted(block, part);
        at += part.length;
      }
    }
    // A row of the page's own, such as what one types.
    put(row) {
      const block = this.open();
      block.list.append(row);
      block.count += 1;
      this.rows += 1;
    }
    before(lines) {
      for (let end = lines.length; end > 0; end -= BLOCK) this.keep(lines.slice(Math.max(0, end - BLOCK), end), 0);
    }
    open() {
      const last = this.blocks[this.blocks.length - 1];
      return last.kept || last.count >= BLOCK ? this.block(this.blocks.length) : last;
    }
    block(at) {
      const block = { list: document.createElement("ol"), count: 0, first: 0, kept: null };
      if (at < this.blocks.length) this.blocks[at].list.before(block.list);
      else this.blocks[at - 1].list.after(block.list);
      this.blocks.splice(at, 0, block);
      return block;
    }
    keep(lines, at) {
      const block = this.block(at);
      block.kept = lines;
      block.list.style.height = `${lines.length * HEIGHT}em`;
      this.counted(block, lines);
      this.near.observe(block.list);
    }
    counted(block, lines) {
      block.count += lines.length;
      block.first ||= lines.find((line) => !line.gap)?.[0] || 0;
      this.rows += lines.length;
    }
    fill(block) {
      if (!block?.kept) return;
      this.near.unobserve(block.list);
      const height = this.box.scrollHeight;
      block.list.append(...block.kept.map((line) => this.row(line)));
      block.list.style.height = "";
      block.kept = null;
      if (block.list.offsetTop < this.box.scrollTop) this.box.scrollTop += this.box.scrollHeight - height;
    }
    all() {
      for (const block of this.blocks) this.fill(block);
      return [...this.box.querySelectorAll("li")];
    }
    trim(most) {
      while (this.rows > most + BLOCK && this.blocks.length > 1) {
        const [block] = this.blocks.splice(0, 1);
        this.rows -= block.count;
        this.near.unobserve(block.list);
        block.list.remove();
      }
    }

    row(line) { return line.gap ? this.gap(...line.gap) : this.line(line); }
    line([n, time, stream, pieces]) {
      const li = document.createElement("li");
      if (stream === "err" || stream === "in") li.className = stream;
      li.dataset.n = n;
      const number = Object.assign(document.createElement("span"), { className: "n", textContent: n });
      const clock = Object.assign(document.createElement("span"), { className: "t", textContent: time });
      const text = document.createElement("span");
      for (const [kind, part] of pieces) {
        if (!kind) text.append(part);
        else text.append(Object.assign(document.createElement("span"), { className: kind, textContent: part }));
      }
      li.append(number, clock, text);
      return li;
    }
    gap(from, to, why) {
      const many = to - from + 1;
      const text = `${many.toLocaleString("en")} line${many > 1 ? "s" : ""} missing (${from}${many > 1 ? `–${to}` : ""}): ${why}`;
      return Object.assign(document.createElement("li"), { className: "gap", textContent: text });
    }
  }

  class Console {
    constructor(root) {
      this.root = root;
      this.id = root.dataset.console;
      this.box = root.querySelector(".lines");
      this.lines = new Lines(this.box);
      this.waiting = [];
      this.lost = 0;
      this.shown = 0;
      this.following = true;
      this.last = 0;
      this.first = 0;
      this.newer = 0;
      this.pending = [];
      this.buttons();
      this.prompt();
      this.follow(true);
      this.sync();
      this.open();
    }

    part(name) { return this.root.querySelector(`[data-${name}]`); }

    // -- lines
    open() {
      this.source?.close();
      const after = this.last ? `?after=${this.last}` : "";
      this.source = new EventSource(`/sessions/${this.id}/console${after}`);
      this.source.addEventListener("begin", (e) => this.begin(JSON.parse(e.data)));
      this.source.addEventListener("lines", (e) => this.add(JSON.parse(e.data)));
      this.source.addEventListener("over", () => this.source.close());
      this.source.addEventListener("refused", (e) => {
        this.source.close();
        this.none(`${JSON.parse(e.data).detail}`);
      });
    }
    begin({ first, last }) {
      if (!last) this.none(this.part("none").dataset.empty);
      this.first = first;
      this.last = first - 1;
    }
    none(text) { const p = this.part("none"); p.hidden = false; p.textContent = text; }

    add(rows) {
      for (const row of rows) this.waiting.push(row);
      // A page out of sight is not drawn: what it will not keep anyway need not wait.
      if (this.waiting.length > 2 * MOST) this.lost += this.waiting.splice(0, this.waiting.length - MOST).length;
      if (this.timer) return;
      const pause = this.waiting.length > BLOCK ? Math.max(0, this.shown + PACE - performance.now()) : 0;
      this.timer = setTimeout(() => requestAnimationFrame(() => this.flush()), pause);
    }
    flush() {
      this.timer = 0;
      this.shown = performance.now();
      const why = this.lost ? "too many at once; the download has them" : "they were not kept";
      const lines = [];
      for (const row of this.waiting.splice(0)) {
        if (row[0] <= this.last) continue;
        if (this.last && row[0] > this.last + 1) lines.push({ gap: [this.last + 1, row[0] - 1, why] });
        this.last = row[0];
        this.echoed(row);
        lines.push(row);
      }
      this.lost = 0;
      this.lines.add(lines);
      if (lines.length) this.part("none").hidden = true;
      // Whoever reads further up keeps what they read.
      this.lines.trim(this.following ? MOST : 4 * MOST);
      this.first = this.lines.first || this.first;
      if (this.following) this.toEnd();
      else this.tellNewer(lines.length);
      this.count();
    }
    toEnd() {
      this.box.scrollTop = this.box.scrollHeight;
      this.end = this.box.scrollTop;
    }
    async earlier() {
      if (this.first <= 1 || this.loading) return;
      this.loading = true;
      const reply = await fetch(`/sessions/${this.id}/console/before?n=${this.first}`, { headers: { accept: "application/json" } });
      if (reply.ok) {
        const lines = [];
        let at = 0;
        for (const row of await reply.json()) {
          if (at && row[0] > at + 1) lines.push({ gap: [at + 1, row[0] - 1, "they were not kept"] });
          at = row[0];
          lines.push(row);
        }
        const height = this.box.scrollHeight;
        this.lines.before(lines);
        this.first = this.lines.first || this.first;
        this.box.scrollTop += this.box.scrollHeight - height;
        this.count();
      }
      this.loading = false;
    }
    count() { manman.put(this.part("count"), this.last ? `${this.last.toLocaleString("en")} line${this.last > 1 ? "s" : ""}` : ""); }

    // -- following
    follow(on) {
      this.following = on;
      const button = this.part("follow");
      button.setAttribute("aria-pressed", String(on));
      button.classList.toggle("following", on);
      manman.put(button.querySelector("span"), on ? "Following" : "Follow");
      if (on) {
        this.newer = 0;
        this.root.querySelector(".newer").hidden = true;
        this.toEnd();
      }
    }
    tellNewer(added) {
      this.newer += added;
      const place = this.root.querySelector(".newer");
      place.hidden = !this.newer;
      place.firstElementChild.textContent = `${this.newer.toLocaleString("en")} new line${this.newer > 1 ? "s" : ""} ↓`;
    }
    scrolled() {
      const bottom = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
      // Only a person scrolls up; what is below grows by itself.
      if (this.following ? this.box.scrollTop < this.end - 24 : bottom) this.follow(bottom);
      if (this.box.scrollTop < 40 && !bottom) this.earlier();
    }

    // -- buttons
    buttons() {
      this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
      this.part("follow").addEventListener("click", () => this.follow(!this.following));
      this.part("newer").addEventListener("click", () => this.follow(true));
      const wrap = this.part("wrap");
      const wrapped = localStorage.getItem("manman-wrap") === "yes";
      this.wrap(wrapped);
      wrap.addEventListener("click", () => this.wrap(wrap.getAttribute("aria-pressed") !== "true"));
      this.size(Number(localStorage.getItem("manman-size")) || 12);
      this.part("smaller").addEventListener("click", () => this.size(Number(this.box.dataset.size) - 1));
      this.part("bigger").addEventListener("click", () => this.size(Number(this.box.dataset.size) + 1));
      const find = this.part("find");
      const row = this.root.querySelector(".find");
      find.addEventListener("click", () => {
        row.hidden = !row.hidden;
        find.setAttribute("aria-pressed", String(!row.hidden));
        if (!row.hidden) row.querySelector("input").focus();
        else this.find("");
      });
      row.querySelector("input").addEventListener("input", (e) => this.find(e.target.value));
      row.querySelector("input").addEventListener("keydown", (e) => { if (e.key === "Enter") this.next(); });
      this.part("next").addEventListener("click", () => this.next());
    }
    wrap(on) {
      this.box.classList.toggle("wrap", on);
      this.part("wrap").setAttribute("aria-pressed", String(on));
      localStorage.setItem("manman-wrap", on ? "yes" : "no");
    }
    size(n) {
      this.box.dataset.size = clamp(n, 11, 18);
      localStorage.setItem("manman-size", this.box.dataset.size);
    }
    find(text) {
      const wanted = text.toLowerCase();
      this.hits = wanted ? this.lines.all().filter((li) => li.lastElementChild?.textContent.toLowerCase().includes(wanted)) : [];
      for (const li of this.box.querySelectorAll(".hit")) li.classList.remove("hit");
      for (const li of this.hits) li.classList.add("hit");
      this.hit = this.hits.length;
      manman.put(this.part("found"), wanted ? `${this.hits.length} of ${this.lines.rows} lines` : "");
      this.next();
    }
    next() {
      if (!this.hits?.length) return;
      this.hit = (this.hit - 1 + this.hits.length) % this.hits.length;
      this.follow(false);
      this.box.querySelector(".here")?.classList.remove("here");
      this.hits[this.hit].classList.add("here");
      this.hits[this.hit].scrollIntoView({ block: "center" });
    }

    // -- input
    prompt() {
      const form = this.part("prompt");
      const field = this.part("line");
      const key = `manman-lines-${this.root.dataset.deployment}`;
      let past = JSON.parse(localStorage.getItem(key) || "[]");
      let at = past.length;
      field.addEventListener("keydown", (event) => {
        if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
        event.preventDefault();
        at = clamp(at + (event.key === "ArrowUp" ? -1 : 1), 0, past.length);
        field.value = past[at] ?? "";
      });
      form.addEventListener("submit", async (event) => {
        event.preventDefault();
        const line = field.value;
        if (!line.trim()) return;
        past = [...past.filter((one) => one !== line), line].slice(-50);
        at = past.length;
        localStorage.setItem(key, JSON.stringify(past));
        field.value = "";
        await this.send(form, line);
      });
    }
    async send(form, line) {
      const row = document.createElement("li");
      row.className = "in pending";
      const said = document.createElement("span");
      said.append(`${line}  · pending`);
      row.append(document.createElement("span"), document.createElement("span"), said);
      this.lines.put(row);
      this.pending.push({ row, line, said });
      this.follow(true);
      try {
        const body = new URLSearchParams({ form_token: form.elements.form_token.value, line });
        const reply = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
        const told = await reply.json();
        if (reply.ok) said.textContent = `${told.who} › ${line}  · delivered`;
        else said.textContent = `${line}  · refused: ${told.detail}`;
        if (!reply.ok) row.className = "err";
      } catch {
        said.textContent = `${line}  · not sent: the control plane does not answer`;
        row.className = "err";
      }
    }
    echoed([, , , pieces]) {
      if (!this.pending.length) return;
      const text = pieces.map(([, part]) => part).join("");
      const at = this.pending.findIndex((one) => text.includes(one.line));
      if (at < 0) return;
      const [one] = this.pending.splice(at, 1);
      one.said.textContent = one.said.textContent.replace(/ {2}· .*$/, "");
      one.row.className = "in";
    }

    // -- what the page knows of the session by now
    sync() {
      const state = document.querySelector(`[data-for="${this.root.id}"]`);
      if (!state) return;
      const types = state.dataset.types === "yes";
      const why = this.part("why");
      why.hidden = types;
      manman.put(why, state.textContent.trim());
      this.part("line").hidden = !types;
      this.part("send").hidden = !types;
    }
  }

  const open = new Map();
  function look() {
    for (const root of document.querySelectorAll("[data-console]")) {
      if (!open.has(root)) open.set(root, new Console(root));
      else open.get(root).sync();
    }
    for (const [root, one] of open) {
      if (root.isConnected) continue;
      one.source.close();
      open.delete(root);
    }
  }
  document.addEventListener("manman:placed", look);
  look();
})();
