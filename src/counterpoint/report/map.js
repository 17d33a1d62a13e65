/* A map of test images on a canvas: zoom, images under the pointer, neighbours of the one that was clicked.
   root: the element that holds it. page: its points, sheet of images, classes. controls: the element with the buttons.
   tell(map, what, sample): told what the pointer shows ("mark") and what was clicked ("choose"), null for nothing. */
const openMap = (root, page, controls, tell) => {
  const map = page.map;
  const canvas = root.querySelector("canvas");
  const count = map.sample.length;
  const stage = canvas.parentNode;
  const tip = root.querySelector(".tip");
  const panel = root.querySelector(".panel");
  const legend = root.querySelector(".legend");
  const pen = canvas.getContext("2d");
  const span = { x: Math.max(...map.x) || 1, y: Math.max(...map.y) || 1 };

  const sprite = page.sheet && new Image();
  if (sprite) {
    const probe = document.body.appendChild(make("span", page.tile));
    sprite.src = getComputedStyle(probe).backgroundImage.replace(/^url\(["']?|["']?\)$/g, "");
    probe.remove();
    sprite.onload = () => redraw();
  }

  const light10 = ["#2f6fb7", "#e08214", "#1b8a5a", "#c23b3b", "#7b52ab", "#8a5a3c", "#d667a5", "#6f6f6f", "#a39a1d", "#1ba6b8"];
  const dark10 = ["#6aaef2", "#f5a54a", "#53c68f", "#f07a72", "#b594e6", "#c4956f", "#f09cca", "#b3b1ac", "#d6cc55", "#5fd0de"];
  const hue = (group, groups) => {
    if (group < 0) return dark.matches ? "#55575e" : "#c6c2b8";
    if (groups <= 10) return (dark.matches ? dark10 : light10)[group];
    const turn = (group * 137.508 + 210) % 360;
    const lift = [0, 12, -9][group % 3];
    return `hsl(${turn.toFixed(0)} ${dark.matches ? 62 : 58}% ${(dark.matches ? 66 : 46) + lift}%)`;
  };

  const asked = () => {
    const value = controls.querySelector("input[name=colour]:checked")?.value ?? "none";
    return value !== "none" && !map[value] ? "none" : value;
  };
  let colouring = asked();
  let drawn = controls.querySelector("input[name=drawn]:checked")?.value ?? "points";
  let alone = null;
  let hovered = -1;
  let chosen = -1;
  let marked = -1; // what the pointer shows on another map
  let view = { scale: 1, x: 0, y: 0 };
  let size = { width: 1, height: 1, fit: 1, left: 0, top: 0 };
  let waiting = false;

  const groupOf = (i) => (colouring === "none" ? 0 : map[colouring][i]);
  const groupName = (group) => {
    if (group < 0) return colouring === "label" ? "unknown" : "none";
    if (colouring === "label") return page.classes[group] ?? String(group);
    return colouring === "cluster" ? "cluster " + (group + 1) : "test images";
  };
  const className = (i) => (map.label && map.label[i] >= 0 ? (page.classes[map.label[i]] ?? String(map.label[i])) : "");
  const where = (i) => ({
    x: (size.left + map.x[i] * size.fit) * view.scale + view.x,
    y: (size.top + (span.y - map.y[i]) * size.fit) * view.scale + view.y,
  });
  canvas.where = where;

  const radius = () => {
    const room = clamp(size.width / 640, 0.66, 1);
    return clamp(7.5 - Math.log10(count) * 1.5, 2.4, 6) * room * clamp(view.scale ** 0.35, 1, 2.2);
  };
  const picture = (scale = view.scale) => {
    const cell = Math.sqrt((size.width * size.height) / count);
    const natural = page.sheet ? Math.max(page.sheet.width, page.sheet.height) : 0;
    return clamp(cell * 0.7 * scale ** 0.8, 9, Math.max(40, natural));
  };

  const tileOf = (i, width) => {
    const place = map.tile[i];
    if (!page.sheet || place < 0) return null;
    const node = make("span", page.tile);
    node.setAttribute("role", "img");
    node.setAttribute("aria-label", `${page.called[i]}${className(i) ? ", " + className(i) : ""}`);
    node.style.setProperty("--w", width + "px");
    node.style.setProperty("--c", place % page.sheet.columns);
    node.style.setProperty("--r", Math.floor(place / page.sheet.columns));
    return node;
  };

  const drawPoint = (i, emphasis) => {
    const { x, y } = where(i);
    if (x < -40 || y < -40 || x > size.width + 40 || y > size.height + 40) return;
    const colour = hue(groupOf(i), groups);
    if (drawn === "images" && sprite?.complete && map.tile[i] >= 0) {
      const long = picture() * (emphasis ? 1.35 : 1);
      const edge = Math.max(page.sheet.width, page.sheet.height);
      const [w, h] = [(long * page.sheet.width) / edge, (long * page.sheet.height) / edge];
      const place = map.tile[i];
      const [c, r] = [place % page.sheet.columns, Math.floor(place / page.sheet.columns)];
      const rim = emphasis ? 2.5 : clamp(long / 14, 1, 2);
      pen.fillStyle = colour;
      pen.fillRect(x - w / 2 - rim, y - h / 2 - rim, w + 2 * rim, h + 2 * rim);
      pen.drawImage(
        sprite, c * page.sheet.width, r * page.sheet.height, page.sheet.width, page.sheet.height,
        x - w / 2, y - h / 2, w, h,
      );
      return;
    }
    pen.beginPath();
    pen.arc(x, y, radius() * (emphasis ? 1.5 : 1), 0, 7);
    pen.fillStyle = colour;
    pen.fill();
    if (emphasis) {
      pen.lineWidth = 2;
      pen.strokeStyle = getComputedStyle(document.body).color;
      pen.stroke();
    }
  };

  const ring = (i) => {
    drawPoint(i, true);
    const { x, y } = where(i);
    pen.beginPath();
    pen.arc(x, y, (drawn === "images" ? picture() * 0.8 : radius() * 1.5) + 6, 0, 7);
    pen.lineWidth = 2.5;
    pen.strokeStyle = getComputedStyle(document.body).color;
    pen.stroke();
  };

  let groups = 1;
  let centres = [];
  const regroup = () => {
    const held = new Map();
    for (let i = 0; i < count; i++) {
      const group = groupOf(i);
      if (!held.has(group)) held.set(group, []);
      held.get(group).push(i);
    }
    const known = colouring === "label" ? page.classes.length : Math.max(...held.keys()) + 1;
    groups = Math.max(1, known);
    const middle = (values) => values.sort((a, b) => a - b)[values.length >> 1];
    centres = [...held].filter(([group]) => group >= 0).map(([group, rows]) => {
      const [mx, my] = [middle(rows.map((i) => map.x[i])), middle(rows.map((i) => map.y[i]))];
      // The member nearest the medians, so that a name never floats between two islands.
      const near = rows.reduce((a, b) =>
        Math.hypot(map.x[b] - mx, map.y[b] - my) < Math.hypot(map.x[a] - mx, map.y[a] - my) ? b : a);
      return { group, near };
    });
    legend.replaceChildren();
    if (colouring === "none") return;
    for (const group of [...held.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b)) {
      const button = legend.appendChild(make("li")).appendChild(make("button"));
      button.type = "button";
      button.setAttribute("aria-pressed", alone === group);
      const dot = button.appendChild(make("i"));
      dot.style.background = hue(group, groups);
      button.append(groupName(group), make("small", "", held.get(group).length.toLocaleString("en")));
      button.addEventListener("click", () => {
        alone = alone === group ? null : group;
        regroup();
        redraw();
      });
    }
  };

  const paint = () => {
    waiting = false;
    const style = getComputedStyle(document.documentElement);
    const ratio = window.devicePixelRatio || 1;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, size.width, size.height);
    pen.imageSmoothingEnabled = !(page.sheet && page.sheet.pixelated);
    const near = chosen >= 0 && map.near ? map.near[chosen] : [];
    const faded = (i) => alone !== null && groupOf(i) !== alone;
    for (const behind of [true, false]) {
      pen.globalAlpha = behind ? 0.1 : drawn === "images" ? 1 : 0.82;
      for (let i = 0; i < count; i++) if (faded(i) === behind) drawPoint(i, false);
    }
    pen.globalAlpha = 1;
    if (chosen >= 0) {
      const from = where(chosen);
      pen.strokeStyle = style.getPropertyValue("--ink");
      pen.lineWidth = 1.2;
      for (const i of near) {
        const to = where(i);
        pen.beginPath();
        pen.moveTo(from.x, from.y);
        pen.lineTo(to.x, to.y);
        pen.stroke();
      }
      for (const i of [...near, chosen]) drawPoint(i, true);
    }
    if (hovered >= 0) drawPoint(hovered, true);
    if (marked >= 0) ring(marked);
    // Names would hide the points of small groups.
    if (colouring !== "none" && groups <= 40 && map.sample.length > 10 * groups) {
      pen.font = `600 ${size.width < 500 ? 11 : 13}px ${style.getPropertyValue("--sans")}`;
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.lineJoin = "round";
      pen.lineWidth = 4.5;
      pen.strokeStyle = style.getPropertyValue("--raised");
      pen.fillStyle = style.getPropertyValue("--ink");
      const taken = [];
      for (const { group, near: i } of centres) {
        if (alone !== null && alone !== group) continue;
        const text = colouring === "cluster" ? String(group + 1) : groupName(group);
        const { x, y } = where(i);
        const half = pen.measureText(text).width / 2 + 4;
        if (x < 0 || y < 0 || x > size.width || y > size.height) continue;
        const left = clamp(x, half, size.width - half);
        const free = (top) => !taken.some((t) => Math.abs(t.top - top) < 15 && Math.abs(t.left - left) < t.half + half);
        const top = [0, 15, -15, 30, -30, 45, -45].map((by) => y + by).find(free) ?? y;
        taken.push({ left, top, half });
        pen.strokeText(text, left, top);
        pen.fillText(text, left, top);
      }
    }
  };
  const redraw = () => {
    if (!waiting) requestAnimationFrame(paint);
    waiting = true;
  };

  const resize = () => {
    const ratio = window.devicePixelRatio || 1;
    const width = stage.clientWidth;
    const height = Math.round(clamp((width * span.y) / span.x, 280, 620));
    canvas.style.height = height + "px";
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    size = { ...size, width, height };
    const pad = drawn === "images" && page.sheet ? Math.max(24, picture(1) * 0.7 + 4) : 24; // none is cut at the edge
    const fit = Math.min((width - 2 * pad) / span.x, (height - 2 * pad) / span.y);
    size = { width, height, fit, left: (width - span.x * fit) / 2, top: (height - span.y * fit) / 2 };
    redraw();
  };

  const settle = () => {
    view.scale = clamp(view.scale, 1, 60);
    view.x = clamp(view.x, size.width * (1 - view.scale), 0);
    view.y = clamp(view.y, size.height * (1 - view.scale), 0);
    canvas.classList.toggle("zoomed", view.scale > 1.001);
    redraw();
  };
  const zoom = (factor, x, y) => {
    const scale = clamp(view.scale * factor, 1, 60);
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    settle();
  };

  const nearest = (x, y, reach) => {
    let best = -1;
    let least = reach ** 2;
    for (let i = 0; i < count; i++) {
      if (alone !== null && groupOf(i) !== alone) continue;
      const p = where(i);
      const d = (p.x - x) ** 2 + (p.y - y) ** 2;
      if (d < least) [least, best] = [d, i];
    }
    return best;
  };
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const describe = (i) => {
    const parts = [];
    if (className(i)) parts.push(className(i));
    if (map.cluster && map.cluster[i] >= 0) parts.push("cluster " + (map.cluster[i] + 1));
    return parts;
  };
  const hover = (i, at) => {
    if (i !== hovered) {
      hovered = i;
      tip.replaceChildren();
      if (i >= 0) {
        const tile = tileOf(i, size.width < 420 ? page.sizes.middle : page.sizes.large);
        if (tile) tip.append(tile);
        const [first, ...rest] = describe(i);
        if (first) tip.append(make("strong", "", first));
        tip.append(make("span", "", [...rest, page.called[i]].join(" · ")));
      }
      redraw();
      tell?.(api, "mark", i < 0 ? null : map.sample[i]);
    }
    tip.hidden = i < 0;
    if (i < 0) return;
    const [w, h] = [tip.offsetWidth, tip.offsetHeight];
    const right = at.x + 18 + w < size.width;
    tip.style.left = clamp(right ? at.x + 18 : at.x - w - 18, 0, Math.max(0, size.width - w)) + "px";
    tip.style.top = clamp(at.y - h / 2, 4, Math.max(4, size.height - h - 4)) + "px";
  };
  const hint = panel.querySelector(".hint");
  const choose = (i) => {
    chosen = i;
    if (tip.hidden) hovered = -1; // it was a button of the panel, which is about to go
    redraw();
    if (i < 0) return panel.replaceChildren(hint);
    const head = make("div", "chosen");
    const tile = tileOf(i, page.sizes.large);
    if (tile) head.append(tile);
    const words = head.appendChild(make("div"));
    const [first, ...rest] = describe(i);
    if (first) words.append(make("p", "own", first));
    for (const text of [...rest, page.called[i]]) words.append(make("p", "", text));
    panel.replaceChildren(head);
    if (!map.near) return;
    const same = map.label && map.label[i] >= 0 ? map.near[i].filter((j) => map.label[j] === map.label[i]).length : -1;
    const tail = same < 0 ? "" : `, ${same} of the same class`;
    const among = count < page.of ? " among the images shown" : "";
    panel.append(make("h3", "", `${map.near[i].length} nearest neighbours${among}${tail}`));
    panel.append(make("p", "unit", "With their cosine distance in the embedding: 0 is the same direction, 1 is unrelated."));
    const grid = panel.appendChild(make("div", "near"));
    map.near[i].forEach((j, k) => {
      const button = grid.appendChild(make("button"));
      button.type = "button";
      const small = tileOf(j, page.sizes.middle);
      if (small) button.append(small);
      const other = map.label && map.label[i] >= 0 && map.label[j] !== map.label[i];
      if (className(j)) button.append(make("span", other ? "other" : "", className(j)));
      const distance = 1 - map.cosine[i][k] / 1000;
      button.append(make("span", "far", distance.toFixed(distance < 0.1 ? 3 : 2)));
      button.title = `${page.called[j]}, cosine distance ${distance.toFixed(3)}`;
      button.addEventListener("click", () => pick(j));
      button.addEventListener("pointerenter", () => { hovered = j; redraw(); });
      button.addEventListener("pointerleave", () => { hovered = -1; redraw(); });
    });
  };

  const pick = (i) => {
    choose(i);
    tell?.(api, "choose", i < 0 ? null : map.sample[i]);
  };

  const fingers = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    fingers.set(event.pointerId, place(event));
    if (fingers.size === 1) moved = 0;
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    const at = place(event);
    const before = fingers.get(event.pointerId);
    if (!before) return hover(nearest(at.x, at.y, 22), at);
    const [dx, dy] = [at.x - before.x, at.y - before.y];
    moved += Math.hypot(dx, dy);
    if (fingers.size === 1) {
      view.x += dx;
      view.y += dy;
      canvas.classList.add("drag");
      settle();
    } else if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
      const spread = Math.hypot(before.x - other.x, before.y - other.y) || 1;
      view.x += dx / 2;
      view.y += dy / 2;
      zoom(Math.hypot(at.x - other.x, at.y - other.y) / spread, middle.x, middle.y);
    }
    if (moved > 5) hover(-1);
    fingers.set(event.pointerId, at);
  });
  const lift = (event) => {
    const at = fingers.get(event.pointerId);
    fingers.delete(event.pointerId);
    canvas.classList.remove("drag");
    if (!at || event.type === "pointercancel" || moved > 5) return;
    const i = nearest(at.x, at.y, event.pointerType === "mouse" ? 22 : 30);
    pick(i === chosen ? -1 : i);
    if (event.pointerType !== "mouse") hover(-1);
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("pointerleave", () => hover(-1));

  // A wheel that is scrolling the page goes on scrolling it; one turned while resting on the map zooms.
  let scrolled = -1e9;
  window.addEventListener("scroll", () => (scrolled = performance.now()), { passive: true });
  canvas.addEventListener("wheel", (event) => {
    if (performance.now() - scrolled < 250 && !event.ctrlKey) return;
    if (event.deltaY > 0 && view.scale <= 1) return;
    event.preventDefault();
    const at = place(event);
    zoom(Math.exp(-clamp(event.deltaY * (event.deltaMode ? 20 : 1), -240, 240) * 0.0032), at.x, at.y);
    hover(-1);
  }, { passive: false });

  canvas.addEventListener("keydown", (event) => {
    const shift = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[event.key];
    if (shift) { view.x += shift[0]; view.y += shift[1]; settle(); }
    else if (event.key === "+" || event.key === "=") zoom(1.4, size.width / 2, size.height / 2);
    else if (event.key === "-") zoom(1 / 1.4, size.width / 2, size.height / 2);
    else if (event.key === "Escape") pick(-1);
    else return;
    event.preventDefault();
  });
  for (const button of controls.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      const factor = Number(button.dataset.zoom);
      if (factor) zoom(factor, size.width / 2, size.height / 2);
      else { view = { scale: 1, x: 0, y: 0 }; settle(); }
    });
  }
  for (const input of controls.querySelectorAll("input[name=colour]")) {
    input.addEventListener("change", () => { colouring = asked(); alone = null; regroup(); redraw(); });
  }
  for (const input of controls.querySelectorAll("input[name=drawn]")) {
    input.addEventListener("change", () => { drawn = input.value; resize(); });
  }
  dark.addEventListener("change", () => { regroup(); redraw(); });
  new ResizeObserver(() => { resize(); settle(); }).observe(stage);
  regroup();
  resize();
  canvas.dataset.ready = "yes";
  const row = new Map(map.sample.map((sample, i) => [sample, i]));
  const api = {
    mark: (sample) => { marked = row.get(sample) ?? -1; redraw(); },
    choose: (sample) => choose(row.get(sample) ?? -1),
  };
  return api;
};
