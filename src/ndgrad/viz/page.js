"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const view = document.getElementById("view"), world = document.getElementById("world");
  const panel = document.querySelector("aside"), search = document.getElementById("search"), found = document.getElementById("found");
  const map = document.getElementById("map");
  const [width, height] = data.size;
  const boxes = new Map(), chips = new Map(), sources = new Map(), users = new Map();
  const list = (table, key) => table.get(key) || table.set(key, []).get(key);
  for (const element of world.querySelectorAll(".box")) boxes.set(+element.dataset.n, element);
  for (const element of world.querySelectorAll(".chip")) list(chips, +element.dataset.n).push(element);
  for (const element of world.querySelectorAll(".wire")) {
    const wire = { element, from: +element.dataset.s, to: +element.dataset.t };
    const again = element.matches(".carried");  // from one repetition to the next, so last resort of the arrow keys
    if (again) list(sources, wire.to).unshift(wire); else list(sources, wire.to).push(wire);
    list(users, wire.from).push(wire);
  }

  // ---------------------------------------------------------------- where one looks: world point (x, y) is at the view's corner, k is the zoom
  let x = 0, y = 0, k = 1, queued = false;
  const least = () => Math.min(0.05, fitting());
  const fitting = () => Math.min(view.clientWidth / width, view.clientHeight / height);
  function show() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(() => {
      queued = false;
      world.setAttribute("transform", `scale(${k}) translate(${-x} ${-y})`);
      view.classList.toggle("mid", k < 0.42);
      view.classList.toggle("far", k < 0.2);
      drawMap();
    });
  }
  function zoom(factor, px = view.clientWidth / 2, py = view.clientHeight / 2) {
    const next = Math.min(4, Math.max(least(), k * factor));
    x += px / k - px / next;
    y += py / k - py / next;
    k = next;
    show();
  }
  function fit() {
    k = Math.min(1.4, fitting());
    x = (width - view.clientWidth / k) / 2;
    y = (height - view.clientHeight / k) / 2;
    show();
  }
  function place(n) {
    const { e, f } = boxes.get(n).transform.baseVal.consolidate().matrix, rect = boxes.get(n).querySelector("rect");
    return { x: e, y: f, w: rect.width.baseVal.value, h: rect.height.baseVal.value };
  }
  function reveal(n, always) {
    const at = place(n), seen = () => [view.clientWidth / k, view.clientHeight / k];
    let [w, h] = seen();
    if (!always && k >= 0.42 && at.x > x && at.y > y && at.x + at.w < x + w && at.y + at.h < y + h) return;
    if (k < 0.42) k = 0.8;
    [w, h] = seen();
    x = at.x + at.w / 2 - w / 2;
    y = n === data.root ? at.y + at.h - h + 90 / k : at.y + at.h / 2 - h / 2;  // nothing stands below the result
    show();
  }

  // ---------------------------------------------------------------- the small map, for pictures that do not fit
  const scale = Math.min(200 / width, 150 / height), context = map.getContext("2d"), ratio = window.devicePixelRatio || 1;
  const places = [...boxes.keys()].map((n) => [place(n), boxes.get(n)]);
  let backdrop = null;
  map.style.width = `${map.width = Math.max(24, width * scale)}px`;
  map.style.height = `${map.height = Math.max(24, height * scale)}px`;
  map.width *= ratio;
  map.height *= ratio;
  function drawMap() {
    map.hidden = fitting() >= 0.42;
    map.style.display = map.hidden ? "none" : "";
    if (map.hidden) return;
    const one = scale * ratio;
    if (!backdrop) {
      backdrop = document.createElement("canvas");
      backdrop.width = map.width;
      backdrop.height = map.height;
      const paint = backdrop.getContext("2d");
      for (const [at, element] of places) {
        const style = getComputedStyle(element.querySelector("rect"));
        paint.fillStyle = element.matches(".h0, .gap, .saved") ? style.stroke : style.fill;
        paint.fillRect(at.x * one, at.y * one, Math.max(1, at.w * one), Math.max(1, at.h * one));
      }
    }
    context.clearRect(0, 0, map.width, map.height);
    context.drawImage(backdrop, 0, 0);
    context.strokeStyle = getComputedStyle(document.body).getPropertyValue("--accent");
    context.lineWidth = 2 * ratio;
    context.strokeRect(x * one, y * one, (view.clientWidth / k) * one, (view.clientHeight / k) * one);
  }
  function jump(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    x = event.offsetX / scale - view.clientWidth / k / 2;
    y = event.offsetY / scale - view.clientHeight / k / 2;
    show();
  }
  map.addEventListener("pointerdown", jump);
  map.addEventListener("pointermove", jump);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { backdrop = null; show(); });

  // ---------------------------------------------------------------- choosing a node
  let picked = null, marked = [];
  const mark = (element, ...names) => { element.classList.add(...names); marked.push([element, names]); };
  function clear() {
    for (const [element, names] of marked) element.classList.remove(...names);
    marked = [];
  }
  function choose(n, away) {
    clear();
    picked = n;
    view.classList.toggle("chosen", n !== null);
    panel.hidden = n === null;
    if (n === null) { view.removeAttribute("aria-activedescendant"); show(); return; }
    mark(boxes.get(n), "near", "picked");
    view.setAttribute("aria-activedescendant", boxes.get(n).id);
    for (const chip of chips.get(n) || []) mark(chip, "near");
    for (const [table, side, name] of [[sources, "from", "in"], [users, "to", "out"]]) {
      for (const wire of table.get(n) || []) {
        mark(wire.element, "near", name);
        mark(boxes.get(wire[side]), "near");
      }
    }
    describe(n);
    if (away) reveal(n); else show();
  }
  function add(parent, tag, text, name) {
    const element = parent.appendChild(document.createElement(tag));
    if (text) element.textContent = text;
    if (name) element.className = name;
    return element;
  }
  function describe(n) {
    const box = data.boxes[n];
    panel.replaceChildren();
    const shut = add(panel, "button", "×", "shut");
    shut.setAttribute("aria-label", "Close");
    shut.onclick = () => { choose(null); view.focus(); };
    add(panel, "h2", box.label);
    add(panel, "p", box.full, "full");
    const facts = add(panel, "dl");
    for (const [name, value] of box.facts) {
      add(facts, "dt", name);
      add(facts, "dd", value);
    }
    if (box.share) {
      const bar = add(add(panel, "div", "", "share"), "b");
      bar.style.width = `${100 * box.share}%`;
    }
    if (box.saved.length) {
      add(panel, "h3", "Saved tensors");
      const rows = add(panel, "ul");
      for (const line of box.saved) add(rows, "li", line);
    }
    for (const [title, table, side] of [["Computed from", sources, "from"], ["Used by", users, "to"]]) {
      const several = table.get(n) || [];
      if (!several.length) continue;
      add(panel, "h3", `${title} (${several.length})`);
      const rows = add(panel, "ul");
      for (const wire of several.slice(0, 200)) {
        const other = data.boxes[wire[side]];
        const button = add(add(rows, "li"), "button", `${other.label}  ${other.form}`);
        button.onclick = () => choose(wire[side], true);
      }
      if (several.length > 200) add(rows, "li", `and ${several.length - 200} more`);
    }
  }

  // ---------------------------------------------------------------- searching
  let hits = [], at = -1;
  const texts = data.boxes.map((box) => [box.label, box.full, box.form, ...box.facts.flat(), ...box.saved].join(" ").toLowerCase());
  function look() {
    for (const n of hits) boxes.get(n).classList.remove("hit");
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    hits = words.length ? [...boxes.keys()].filter((n) => words.every((word) => texts[n].includes(word))) : [];
    for (const n of hits) boxes.get(n).classList.add("hit");
    at = -1;
    found.textContent = words.length ? `${hits.length.toLocaleString("en")} found` : "";
  }
  function step(by) {
    if (!hits.length) return;
    at = (at + by + hits.length) % hits.length;
    choose(hits[at], true);
    found.textContent = `${at + 1} of ${hits.length.toLocaleString("en")}`;
  }
  search.addEventListener("input", look);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") { search.value = ""; look(); view.focus(); }
  });

  // ---------------------------------------------------------------- pointer and keyboard
  const down = new Map();
  let moved = 0;
  view.addEventListener("pointerdown", (event) => {
    down.set(event.pointerId, [event.clientX, event.clientY]);
    if (down.size === 1) moved = 0;
  });
  view.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before) return;
    const now = [event.clientX, event.clientY], others = [...down].filter(([id]) => id !== event.pointerId);
    if (others.length) {
      const other = others[0][1], far = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]), corner = view.getBoundingClientRect();
      zoom(far(now) / Math.max(1, far(before)), (now[0] + other[0]) / 2 - corner.left, (now[1] + other[1]) / 2 - corner.top);
    }
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    if (moved > 4 && !view.hasPointerCapture(event.pointerId)) {
      view.setPointerCapture(event.pointerId);
      view.classList.add("moving");
    }
    x -= (now[0] - before[0]) / k / (others.length + 1);
    y -= (now[1] - before[1]) / k / (others.length + 1);
    down.set(event.pointerId, now);
    show();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    view.addEventListener(name, (event) => { down.delete(event.pointerId); view.classList.remove("moving"); });
  }
  view.addEventListener("click", (event) => {
    if (moved > 4) return;
    const element = event.target.closest("[data-n]");
    choose(element ? +element.dataset.n : null, element && element.matches(".chip"));
  });
  view.addEventListener("wheel", (event) => {
    event.preventDefault();
    const corner = view.getBoundingClientRect(), pixels = event.deltaY * (event.deltaMode ? 24 : 1);
    zoom(Math.exp(-Math.max(-200, Math.min(200, pixels)) / 300), event.clientX - corner.left, event.clientY - corner.top);
  }, { passive: false });
  const beside = (by) => {
    const wire = (users.get(picked) || [])[0], row = wire ? sources.get(wire.to) : [];
    const index = row.findIndex((each) => each.from === picked);
    return row.length ? row[(index + by + row.length) % row.length].from : null;
  };
  const keys = {
    ArrowUp: () => { const row = sources.get(picked) || []; return row.length ? row[row.length - 1].from : null; },
    ArrowDown: () => { const row = users.get(picked) || []; return row.length ? row[0].to : null; },
    ArrowLeft: () => beside(-1),
    ArrowRight: () => beside(1),
  };
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in keys) {
      if (picked === null) choose(data.root, true);
      else {
        const next = keys[event.key]();
        if (next !== null) choose(next, true);
      }
    } else if (event.key === "Escape") choose(null);
    else if (event.key === "+" || event.key === "=") zoom(1.25);
    else if (event.key === "-") zoom(0.8);
    else if (event.key === "0") fit();
    else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); search.select(); }
  });
  document.getElementById("in").onclick = () => zoom(1.25);
  document.getElementById("out").onclick = () => zoom(0.8);
  document.getElementById("fit").onclick = fit;
  document.getElementById("result").onclick = () => choose(data.root, true);
  new ResizeObserver(show).observe(view);
  if (fitting() >= 0.42) fit(); else { k = 0.8; reveal(data.root, true); }
})();
