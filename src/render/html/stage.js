/*
 * What all pictures have in common: elements and controls, the canvases with what a pointer and the keyboard do on them,
 * tooltips, tags and the axis of time.
 */

const FONT = "11px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const NARROW = 620;

/* ---- Elements; texts of the rows only ever become text nodes ---- */

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function labelled(text, control) {
  return element("label", {}, element("span", { textContent: text }), control);
}

/** Fills a dropdown with `{value, label}` and hides it if there is no choice. */
function fillSelect(select, options, value) {
  select.replaceChildren(...options.map((option) => {
    return element("option", { value: option.value, textContent: option.label, selected: option.value === value });
  }));
  select.value = value;
  select.parentElement.hidden = options.length < 2;
}

function checkbox(id, text, checked, onchange) {
  const box = element("input", { type: "checkbox", id, checked });
  box.addEventListener("change", () => onchange(box.checked));
  return element("label", {}, box, element("span", { textContent: text }));
}

function cssColors() {
  const style = getComputedStyle(document.documentElement);
  const names = [
    "paper", "panel", "line", "ink", "dim", "grid", "gap", "gap-line", "tag", "tag-ink", "long", "short", "both",
    "price", "risen", "fallen", "outline",
  ];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
}

/* ---- A stage: two canvases above each other, and what a pointer and the keyboard do with them ---- */

/**
 * `picture` has draw(), drawOver(), pan(dx, dy), zoom(x, y, factor, axes), reset(); axes is {x, y}. The lower canvas is
 * drawn when the view changes, the upper one when the pointer moves. All at most once per frame of the screen.
 */
function createStage(name, host, picture) {
  const under = element("canvas", { id: `${name}-canvas`, tabIndex: 0, role: "img" });
  const over = element("canvas", { className: "over", "aria-hidden": "true" });
  const tooltip = element("div", { className: "tooltip", id: `${name}-tooltip`, hidden: true });
  host.append(under, over, tooltip);
  const stage = {
    host, under, over: over.getContext("2d"), base: under.getContext("2d"), tooltip,
    width: 0, height: 0, ratio: 1, hover: null, paints: 0, lastPaintMs: 0,
  };
  let isDirty = false, isOverDirty = false, request = 0;

  function paint() {
    request = 0;
    if (stage.width < 1 || stage.height < 1) return;
    const started = performance.now();
    if (isDirty) {
      prepare(stage.base);
      picture.draw();
    }
    prepare(stage.over);
    picture.drawOver();
    if (isDirty) {
      stage.paints++;
      stage.lastPaintMs = performance.now() - started;
    }
    isDirty = isOverDirty = false;
  }

  function prepare(context) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
    context.setTransform(stage.ratio, 0, 0, stage.ratio, 0, 0);
    context.font = FONT;
    context.textBaseline = "middle";
  }

  stage.redraw = () => { isDirty = true; request ||= requestAnimationFrame(paint); };
  stage.redrawOver = () => { isOverDirty = true; request ||= requestAnimationFrame(paint); };
  stage.paintNow = () => { isDirty = true; paint(); };
  stage.measure = () => {
    const box = host.getBoundingClientRect();
    const ratio = window.devicePixelRatio || 1;
    if (box.width === stage.width && box.height === stage.height && ratio === stage.ratio) return false;
    Object.assign(stage, { width: box.width, height: box.height, ratio });
    for (const canvas of [under, over]) {
      canvas.width = Math.max(1, Math.round(box.width * ratio));
      canvas.height = Math.max(1, Math.round(box.height * ratio));
    }
    return true;
  };
  new ResizeObserver(() => { if (stage.measure()) stage.paintNow(); }).observe(host);

  const at = (event) => {
    const box = host.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const pointers = new Map();
  host.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    host.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    stage.hover = event.pointerType === "touch" ? at(event) : stage.hover;
    // Who points needs no frame that shows where the keyboard is.
    host.classList.add("pointed");
    under.focus({ preventScroll: true });
    stage.redrawOver();
  });
  host.addEventListener("pointermove", (event) => {
    const now = at(event), before = pointers.get(event.pointerId);
    stage.hover = now;
    if (before && pointers.size === 1) {
      host.classList.add("dragging");
      picture.pan(now.x - before.x, now.y - before.y, before);
    } else if (before && pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, point]) => point);
      const distance = (point) => Math.max(Math.hypot(point.x - other.x, point.y - other.y), 1);
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      picture.pan((now.x - before.x) / 2, (now.y - before.y) / 2, middle);
      picture.zoom(middle.x, middle.y, distance(before) / distance(now), { x: true, y: true });
    }
    if (before) pointers.set(event.pointerId, now);
    stage.redrawOver();
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    if (pointers.size === 0) host.classList.remove("dragging");
  };
  host.addEventListener("pointerup", release);
  host.addEventListener("pointercancel", release);
  host.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "touch") return;
    stage.hover = null;
    stage.redrawOver();
  });
  host.addEventListener("wheel", (event) => {
    event.preventDefault();
    // Browsers turn the wheel by 90° while shift is held.
    const turned = (event.deltaY || event.deltaX) * (event.deltaMode === 1 ? 33 : event.deltaMode === 2 ? 400 : 1);
    const { x, y } = at(event);
    const axes = { x: !(event.ctrlKey || event.altKey), y: !event.shiftKey };
    picture.zoom(x, y, Math.exp(clamp(turned, -400, 400) * 0.0015), axes);
  }, { passive: false });
  host.addEventListener("dblclick", () => picture.reset());
  under.addEventListener("keydown", (event) => {
    host.classList.remove("pointed");
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.shiftKey ? 200 : 50;
    const middle = [stage.width / 2, stage.height / 2];
    const actions = {
      "+": () => picture.zoom(...middle, 0.8, { x: true, y: true }),
      "=": () => picture.zoom(...middle, 0.8, { x: true, y: true }),
      "-": () => picture.zoom(...middle, 1.25, { x: true, y: true }),
      ArrowLeft: () => picture.pan(step, 0),
      ArrowRight: () => picture.pan(-step, 0),
      ArrowUp: () => picture.pan(0, step),
      ArrowDown: () => picture.pan(0, -step),
      0: () => picture.reset(),
      Escape: () => { stage.hover = null; stage.redrawOver(); },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  return stage;
}

/** Shows rows of text beside a point, if there is room left of `end`: `{head, big, bigClass, rows: [[name, value, class]]}`. */
function showTooltip(stage, point, content, end = stage.width) {
  const { tooltip } = stage;
  tooltip.hidden = !content;
  if (!content) return;
  const parts = content.head.map((line) => element("div", { className: "head", textContent: line }));
  if (content.big) parts.push(element("div", { className: `big ${content.bigClass ?? ""}`, textContent: content.big }));
  const list = element("dl");
  for (const [name, value, className] of content.rows) {
    list.append(element("dt", { textContent: name, className: className ?? "" }), element("dd", { textContent: value }));
  }
  tooltip.replaceChildren(...parts, list);
  const { offsetWidth: width, offsetHeight: height } = tooltip;
  const left = point.x + 18 + width > end ? point.x - 18 - width : point.x + 18;
  const top = clamp(point.y + 18, 0, Math.max(stage.height - height - 4, 0));
  tooltip.style.transform = `translate(${Math.round(Math.max(left, 0))}px, ${Math.round(top)}px)`;
}

const within = (box, point) => point !== null && point.x >= box.x && point.x < box.x + box.width
  && point.y >= box.y && point.y < box.y + box.height;

/** `from..to` zoomed about `at`, kept within limits and at least `least` long. */
function zoomed([from, to], at, factor, [low, high], least) {
  const length = clamp((to - from) * factor, Math.min(least, high - low), high - low);
  const share = (at - from) / (to - from);
  return moved([at - length * share, at - length * share + length], 0, [low, high]);
}

function moved([from, to], by, [low, high]) {
  const length = Math.min(to - from, high - low);
  const start = clamp(from + by, low, high - length);
  return [start, start + length];
}

function tag(context, text, x, y, background, ink, align) {
  const width = context.measureText(text).width + 10;
  const left = align === "center" ? x - width / 2 : align === "right" ? x - width : x;
  context.fillStyle = background;
  context.fillRect(left, y - 9, width, 18);
  context.fillStyle = ink;
  context.textAlign = "left";
  context.fillText(text, left + 5, y + 0.5);
}

function line(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

function drawTimeAxis(context, colors, box, from, to) {
  const toX = (ms) => box.x + (ms - from) / (to - from) * box.width;
  context.textAlign = "center";
  for (const label of timeLabels(from, to, box.width, (text) => context.measureText(text).width)) {
    const x = toX(label.at), half = context.measureText(label.text).width / 2;
    context.strokeStyle = colors.line;
    line(context, x, box.y + box.height, x, box.y + box.height + 4);
    context.fillStyle = label.isDate ? colors.ink : colors.dim;
    context.fillText(label.text, clamp(x, box.x + half, box.x + box.width - half), box.y + box.height + 13);
  }
}

/* ---- What heatmaps and maps have in common: which of the frames is shown ---- */

/** The name of what a frame sums: `all` for the most of its kind. */
function exchangeName(frames, frame) {
  const own = frames.filter((other) => other.symbol === frame.symbol && other.origin.model === frame.origin.model);
  const most = Math.max(...own.map((other) => other.exchanges.length));
  return frame.exchanges.length > 1 && frame.exchanges.length === most ? "all" : frame.exchanges.join("+");
}

function createChoice(frames) {
  const keys = frames.map((frame) => ({
    symbol: frame.symbol ?? "", exchange: exchangeName(frames, frame), model: frame.origin.model ?? "",
  }));
  const weight = { symbol: 4, exchange: 2, model: 1 };
  return {
    keys,
    /** All values, in the order of the frames. */
    options: (dimension) => [...new Set(keys.map((key) => key[dimension]))],
    /** The frame with this value that is most like the one shown. */
    nearest(index, dimension, value) {
      const wanted = { ...keys[index], [dimension]: value };
      const score = (key) => Object.keys(weight).reduce((sum, name) => {
        const isWanted = key[name] === wanted[name];
        return sum + (isWanted ? weight[name] + (name === dimension ? 100 : 0) : 0);
      }, 0);
      return keys.reduce((best, key, other) => (score(key) > score(keys[best]) ? other : best), 0);
    },
  };
}

/** The model stands in the title where it can be chosen, else among the parameters. */
function modelPlaces(choice, frame) {
  const text = frame.origin.model ? `model ${frame.origin.model}` : "";
  return choice && choice.options("model").length > 1 ? { title: text, parameters: "" } : { title: "", parameters: text };
}

/** Dropdowns for symbol, exchange and model. */
function choiceControls(name, choice, onchange) {
  const selects = {};
  for (const dimension of ["symbol", "exchange", "model"]) {
    selects[dimension] = element("select", { id: `${name}-${dimension}` });
    selects[dimension].addEventListener("change", () => onchange(dimension, selects[dimension].value));
  }
  return {
    labels: Object.entries(selects).map(([dimension, select]) => labelled(dimension, select)),
    fill(index) {
      for (const [dimension, select] of Object.entries(selects)) {
        const options = choice.options(dimension).map((value) => ({ value, label: value || data.notStated }));
        fillSelect(select, options, choice.keys[index][dimension]);
      }
    },
  };
}

/** The skeleton of a section. */
function sectionElements(name, controls) {
  const title = element("h1", { id: `${name}-title` });
  const parameters = element("p", { id: `${name}-parameters` });
  const hint = element("span", { className: "hint" });
  const heading = element("header", {}, element("div", {}, title, parameters), hint);
  const bar = element("div", { className: "controls", role: "group", "aria-label": "controls" }, ...controls);
  const host = element("div", { className: "stage" });
  const footer = element("footer", { id: `${name}-footer` });
  const root = element("section", { id: name, "aria-labelledby": `${name}-title` }, heading, bar, host, footer);
  return { root, heading, title, parameters, hint, host, footer, bar };
}

function resetButton(name, picture) {
  const button = element("button", { id: `${name}-reset`, type: "button", textContent: "reset view", title: "the whole picture (double click, or 0)" });
  button.addEventListener("click", () => picture.reset());
  return button;
}

/** Parts of a footer, or of a title, without those that say nothing. */
function fillFooter(footer, kind, parts) {
  const spans = parts.filter(([text]) => text).map(([text, id]) => element("span", { textContent: text, ...(id ? { id } : {}) }));
  footer.replaceChildren(element("span", { className: "kind", textContent: kind }), ...spans);
}

const joined = (...parts) => parts.filter((part) => part).join(" · ");

/** Draws the labels of pools at the right edge, largest first, those that would cover another left out. */
function drawPoolLabels(context, colors, pools, box, toY) {
  const taken = [];
  for (const pool of pools) {
    const top = toY(pool.high), bottom = toY(pool.low);
    if (bottom < box.y || top > box.y + box.height) continue;
    const color = colors[pool.side], from = Math.max(top, box.y);
    const height = Math.max(Math.min(bottom, box.y + box.height) - from, 2);
    context.fillStyle = "rgba(0, 0, 0, 0.55)";
    context.fillRect(box.x + box.width - 7, from - 1, 7, height + 2);
    context.fillStyle = color;
    context.fillRect(box.x + box.width - 6, from, 6, height);
    const y = clamp((top + bottom) / 2, box.y + 9, box.y + box.height - 9);
    if (taken.length >= 12 || taken.some((other) => Math.abs(other - y) < 19)) continue;
    taken.push(y);
    const width = context.measureText(pool.label).width + 12;
    const left = box.x + box.width - 11 - width;
    context.fillStyle = "rgba(8, 10, 16, 0.78)";
    context.fillRect(left, y - 8, width, 16);
    context.fillStyle = color;
    context.fillRect(left, y - 8, 3, 16);
    context.fillStyle = "#f4f6fa";
    context.textAlign = "left";
    context.fillText(pool.label, left + 8, y + 0.5);
  }
}
