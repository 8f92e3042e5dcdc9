/*
 * Maps: price at one instant as bars of layers or sides, and the sums away from the price.
 */

function createMaps(name, section) {
  const { frames } = section;
  const choice = createChoice(frames);
  const state = { index: 0, pools: true, hidden: new Set(), view: null, isHome: true };
  const picture = { draw, drawOver, pan, zoom, reset };
  const selects = choiceControls(name, choice, (dimension, value) => show(choice.nearest(state.index, dimension, value)));
  const pools = checkbox(`${name}-pools`, "pools", true, (checked) => { state.pools = checked; stage.redraw(); });
  const legend = element("div", { className: "legend", id: `${name}-legend`, role: "group", "aria-label": "layers" });
  const parts = sectionElements(name, [...selects.labels, legend, pools]);
  parts.heading.append(resetButton(name, picture));
  const stage = createStage(name, parts.host, picture);
  parts.hint.textContent = "wheel zooms · drag moves · double click resets";
  let frame = frames[0], bars = [], sums = null, layout = null, together = 1, legendTheme = "";

  const layerColor = (index) => frame.layerColors[currentTheme()][index];

  function show(index) {
    const before = frame;
    frame = frames[index];
    state.index = index;
    selects.fill(index);
    pools.hidden = frame.pools.length === 0;
    state.hidden = new Set([...state.hidden].filter((layer) => frame.layers.some((one) => one.name === layer)));
    fillLegend();
    accumulate();
    const [low, high] = limits();
    const keeps = state.view && !state.isHome && before.symbol === frame.symbol && state.view[0] < high && state.view[1] > low;
    if (keeps) state.view = moved(state.view, 0, [low, high]);
    else goHome();
    refresh();
  }

  function fillLegend() {
    legendTheme = currentTheme();
    const entry = (color, text, className = "") => {
      const mark = element("i", { className });
      mark.style.background = color;
      return [mark, text];
    };
    const layers = frame.layers.map((layer, index) => {
      const button = element("button", { type: "button", "aria-pressed": String(!state.hidden.has(layer.name)) }, ...entry(layerColor(index), layer.name));
      button.addEventListener("click", () => {
        if (!state.hidden.delete(layer.name)) state.hidden.add(layer.name);
        button.setAttribute("aria-pressed", String(!state.hidden.has(layer.name)));
        accumulate();
        refresh();
      });
      return button;
    });
    const sides = frame.layers.length ? [] : [["long", "var(--long)"], ["short", "var(--short)"]];
    const curves = [["cumulative long", "var(--long)"], ["cumulative short", "var(--short)"]];
    legend.replaceChildren(
      ...layers,
      ...sides.map(([text, color]) => element("span", {}, ...entry(color, text))),
      ...curves.map(([text, color]) => element("span", {}, ...entry(color, text, "line"))),
    );
  }

  // Rows are sorted by their lower edges.
  const extent = () => [frame.low[0], largest(frame.high, 0)];

  /** The whole picture: the prices asked for, or all rows and the current price unless that is far from them. */
  function home() {
    if (frame.prices) return frame.prices;
    const [low, high] = extent(), margin = (high - low) / 5, current = frame.current ?? low;
    return [Math.min(low, Math.max(current, low - margin)), Math.max(high, Math.min(current, high + margin))];
  }

  /** How far a view may go: to all rows, also those beside the prices asked for. */
  function limits() {
    const [low, high] = extent(), [from, to] = home();
    return [Math.min(low, from), Math.max(high, to)];
  }

  /** Amounts per row without the hidden layers, and their sums away from the price. */
  function accumulate() {
    const rows = frame.low.length;
    const shares = frame.low.map((_, row) => {
      const all = frame.layers.reduce((sum, layer) => sum + layer.usd[row], 0);
      const shown = frame.layers.reduce((sum, layer) => sum + (state.hidden.has(layer.name) ? 0 : layer.usd[row]), 0);
      return state.hidden.size === 0 ? 1 : all > 0 ? shown / all : 0;
    });
    const long = frame.longUsd.map((value, row) => value * shares[row]);
    const short = frame.shortUsd.map((value, row) => value * shares[row]);
    let cumulativeLong = [...frame.cumulativeLong], cumulativeShort = [...frame.cumulativeShort];
    if (state.hidden.size > 0) {
      let sum = 0;
      for (let row = rows - 1; row >= 0; row--) cumulativeLong[row] = long[row] > 0 ? (sum += long[row]) : null;
      sum = 0;
      for (let row = 0; row < rows; row++) cumulativeShort[row] = short[row] > 0 ? (sum += short[row]) : null;
    }
    sums = { long, short, cumulativeLong, cumulativeShort };
  }

  function goHome() {
    state.view = home();
    state.isHome = true;
  }

  function reset() { goHome(); stage.redraw(); }

  function pan(dx) {
    if (!layout) return;
    state.view = moved(state.view, -dx / layout.width * (state.view[1] - state.view[0]), limits());
    state.isHome = false;
    stage.redraw();
  }

  function zoom(x, _y, factor) {
    if (!layout) return;
    const at = state.view[0] + clamp((x - layout.x) / layout.width, 0, 1) * (state.view[1] - state.view[0]);
    state.view = zoomed(state.view, at, factor, limits(), 4 * frame.bucket.size);
    state.isHome = false;
    stage.redraw();
  }

  const toX = (at) => layout.x + (at - state.view[0]) / (state.view[1] - state.view[0]) * layout.width;

  /** Buckets too thin to be seen are summed: their amounts stand at different prices and add up. */
  function measureBars() {
    const step = frame.bucket.size, width = step / (state.view[1] - state.view[0]) * layout.width;
    together = 1;
    for (const factor of [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000]) {
      together = factor;
      if (width * factor >= 3) break;
    }
    const found = new Map();
    frame.low.forEach((low, row) => {
      const high = frame.high[row];
      const key = together === 1 ? row : Math.floor((low + high) / 2 / (step * together));
      const bar = found.get(key) ?? { low, high, long: 0, short: 0, layers: frame.layers.map(() => 0), cumulativeLong: null, cumulativeShort: null };
      bar.low = Math.min(bar.low, low);
      bar.high = Math.max(bar.high, high);
      bar.long += sums.long[row];
      bar.short += sums.short[row];
      frame.layers.forEach((layer, index) => { if (!state.hidden.has(layer.name)) bar.layers[index] += layer.usd[row]; });
      for (const side of ["cumulativeLong", "cumulativeShort"]) {
        if (sums[side][row] !== null) bar[side] = Math.max(bar[side] ?? 0, sums[side][row]);
      }
      found.set(key, bar);
    });
    bars = [...found.values()].sort((a, b) => a.low - b.low);
  }

  function barLabel() {
    const text = decimal(frame.bucket.size * together, frame.bucket.decimals);
    return together === 1 ? `a bar is a bucket of ${text}` : `a bar sums ${text} of price`;
  }

  const total = (bar) => (frame.layers.length ? bar.layers.reduce((sum, value) => sum + value, 0) : bar.long + bar.short);
  const isShown = (bar) => bar.high > state.view[0] && bar.low < state.view[1];

  function draw() {
    const context = stage.base, colors = cssColors(), isNarrow = stage.width < NARROW;
    layout = { x: isNarrow ? 46 : 62, y: 26, width: 0, height: 0 };
    layout.width = Math.max(stage.width - layout.x - (isNarrow ? 46 : 62), 40);
    layout.height = Math.max(stage.height - layout.y - 26, 40);
    if (legendTheme !== currentTheme()) fillLegend();
    measureBars();
    const label = document.getElementById(`${name}-bar`);
    if (label) label.textContent = barLabel();
    const shown = bars.filter(isShown);
    const most = largest(shown.map(total), Number.MIN_VALUE) * 1.05;
    const mostCumulative = largest(shown.flatMap((bar) => [bar.cumulativeLong ?? 0, bar.cumulativeShort ?? 0]), Number.MIN_VALUE) * 1.05;
    Object.assign(layout, { most, mostCumulative });
    const { x, y, width, height } = layout;
    drawUsdAxis(context, colors, most, x - 8, "right", true);
    drawUsdAxis(context, colors, mostCumulative, x + width + 8, "left", false);
    context.fillStyle = colors.dim;
    context.textAlign = "left";
    context.fillText(isNarrow ? "USD" : "USD per bar", 0, 9);
    context.textAlign = "right";
    context.fillText("cumulative", stage.width, 9);
    const { step, decimals } = roundStep((state.view[1] - state.view[0]) / width * 90);
    context.textAlign = "center";
    for (const at of multiples(...state.view, step)) {
      context.strokeStyle = colors.line;
      line(context, toX(at), y + height, toX(at), y + height + 4);
      context.fillStyle = colors.dim;
      const half = context.measureText(decimal(at, decimals)).width / 2;
      context.fillText(decimal(at, decimals), clamp(toX(at), half, stage.width - half), y + height + 14);
    }
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    drawBars(context, colors, shown);
    drawCurve(context, colors.paper, colors.long, "cumulativeLong", "low");
    drawCurve(context, colors.paper, colors.short, "cumulativeShort", "high");
    context.restore();
    drawCurrent(context, colors);
    if (state.pools) drawPools(context, colors);
  }

  function drawUsdAxis(context, colors, most, x, align, withLines) {
    const { step } = roundStep(most / layout.height * 50);
    context.textAlign = align;
    for (const value of multiples(0, most, step)) {
      const y = layout.y + layout.height * (1 - value / most);
      context.fillStyle = colors.dim;
      context.fillText(usd(value), x, y);
      context.strokeStyle = colors.grid;
      if (withLines) line(context, layout.x, Math.round(y) + 0.5, layout.x + layout.width, Math.round(y) + 0.5);
    }
  }

  function drawBars(context, colors, shown) {
    for (const bar of shown) {
      const left = toX(bar.low), right = toX(bar.high), gap = right - left >= 4 ? 1 : 0.3;
      const pieces = frame.layers.length
        ? bar.layers.map((value, index) => [value, layerColor(index)])
        : [[bar.long, colors.long], [bar.short, colors.short]];
      let sum = 0;
      for (const [value, color] of pieces) {
        if (!(value > 0)) continue;
        const top = layout.y + layout.height * (1 - (sum + value) / layout.most), bottom = layout.y + layout.height * (1 - sum / layout.most);
        context.globalAlpha = frame.layers.length ? 1 : 0.6;
        context.fillStyle = color;
        context.fillRect(left, top, Math.max(right - left - gap, 0.7), Math.max(bottom - top, 0.5));
        sum += value;
      }
    }
    context.globalAlpha = 1;
  }

  /** A sum holds from the far edge of its bucket on. */
  function drawCurve(context, rim, color, side, edge) {
    const points = [];
    frame.low.forEach((_, row) => {
      if (sums[side][row] !== null) points.push([toX(frame[edge][row]), layout.y + layout.height * (1 - sums[side][row] / layout.mostCumulative)]);
    });
    if (points.length === 0) return;
    const base = layout.y + layout.height;
    const path = () => {
      context.beginPath();
      points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
    };
    path();
    context.lineTo(points[points.length - 1][0], base);
    context.lineTo(points[0][0], base);
    context.closePath();
    context.globalAlpha = 0.1;
    context.fillStyle = color;
    context.fill();
    context.globalAlpha = 1;
    path();
    context.lineJoin = "round";
    // The rim parts the curve from bars of its own colour.
    for (const [width, stroke] of [[5, rim], [2.25, color]]) {
      context.lineWidth = width;
      context.strokeStyle = stroke;
      context.stroke();
    }
    context.lineWidth = 1;
  }

  function drawCurrent(context, colors) {
    if (frame.current === null) return;
    const [from, to] = state.view, now = marketPrice(frame.current);
    // A price outside the picture is named at the edge behind which it lies.
    if (frame.current < from || frame.current > to) {
      const isBelow = frame.current < from, edge = isBelow ? layout.x : layout.x + layout.width;
      tag(context, isBelow ? `← ${now}` : `${now} →`, edge, 10, colors.tag, colors["tag-ink"], isBelow ? "left" : "right");
      return;
    }
    const x = Math.round(toX(frame.current)) + 0.5, text = `price ${now}`;
    context.strokeStyle = colors.ink;
    context.setLineDash([5, 4]);
    line(context, x, layout.y - 6, x, layout.y + layout.height);
    context.setLineDash([]);
    const half = context.measureText(text).width / 2 + 5;
    tag(context, text, clamp(x, half, stage.width - half), 10, colors.tag, colors["tag-ink"], "center");
  }

  function drawPools(context, colors) {
    const taken = [];
    for (const pool of frame.pools) {
      const left = Math.max(toX(pool.low), layout.x), right = Math.min(toX(pool.high), layout.x + layout.width);
      if (right <= left) continue;
      context.fillStyle = colors[pool.side];
      context.fillRect(left, layout.y, Math.max(right - left, 2), 4);
      const half = context.measureText(pool.label).width / 2 + 5;
      const middle = clamp((left + right) / 2, layout.x + half, layout.x + layout.width - half);
      if (taken.some(([other, width]) => Math.abs(other - middle) < half + width + 4)) continue;
      taken.push([middle, half]);
      tag(context, pool.label, middle, layout.y + 15, colors.panel, colors[pool.side], "center");
    }
  }

  function barAt(point) {
    if (!layout || !within(layout, point)) return null;
    const at = state.view[0] + (point.x - layout.x) / layout.width * (state.view[1] - state.view[0]);
    const bar = bars.find((one) => at >= one.low && at < one.high);
    if (!bar) return null;
    const layers = Object.fromEntries(frame.layers.map((layer, index) => [layer.name, bar.layers[index]]));
    const distance = frame.current ? ((bar.low + bar.high) / 2 - frame.current) / frame.current : null;
    return {
      section: name, low: bar.low, high: bar.high, usd: total(bar), longUsd: bar.long, shortUsd: bar.short, layers,
      cumulativeLong: bar.cumulativeLong, cumulativeShort: bar.cumulativeShort, distance,
    };
  }

  function drawOver() {
    if (!layout) return;
    const context = stage.over, colors = cssColors(), bar = stage.hover && barAt(stage.hover);
    if (stage.hover && within(layout, stage.hover)) {
      context.strokeStyle = colors.dim;
      context.setLineDash([2, 3]);
      line(context, Math.round(stage.hover.x) + 0.5, layout.y, Math.round(stage.hover.x) + 0.5, layout.y + layout.height);
      context.setLineDash([]);
    }
    if (bar) {
      context.fillStyle = colors.grid;
      context.fillRect(toX(bar.low), layout.y, toX(bar.high) - toX(bar.low), layout.height);
    }
    showTooltip(stage, stage.hover, bar && tooltipOf(bar));
  }

  function tooltipOf(bar) {
    const side = bar.longUsd > 0 && bar.shortUsd > 0 ? "both" : bar.longUsd > 0 ? "long" : bar.shortUsd > 0 ? "short" : "";
    const rows = Object.entries(bar.layers).filter(([, value]) => value > 0).reverse().map(([layer, value]) => [layer, usd(value, 3)]);
    if (bar.cumulativeLong !== null) rows.push(["cumulative long", usd(bar.cumulativeLong, 3), "long"]);
    if (bar.cumulativeShort !== null) rows.push(["cumulative short", usd(bar.cumulativeShort, 3), "short"]);
    if (bar.distance !== null) rows.push(["from price", signedPercent(bar.distance)]);
    return {
      head: [`${decimal(bar.low, frame.decimals)} – ${decimal(bar.high, frame.decimals)}`], big: `${usd(bar.usd, 3)} ${side === "both" ? "long and short" : side}`,
      bigClass: side, rows,
    };
  }

  function refresh() {
    const at = frame.at === null ? "" : `${instant(frame.at)} UTC`;
    const model = modelPlaces(choice, frame);
    const title = joined(frame.subject, at, model.title);
    parts.title.textContent = data.title ?? title;
    parts.parameters.textContent = joined(data.title && title, model.parameters, frame.origin.parameters, `buckets of ${decimal(frame.bucket.size, frame.bucket.decimals)}`);
    stage.under.setAttribute("aria-label", parts.title.textContent);
    // Of the rows whose middles are among the prices asked for, as rows_of_map of view.rs.
    const isAskedFor = (middle) => !frame.prices || (middle >= frame.prices[0] && middle < frame.prices[1]);
    const sum = (values) => values.reduce((all, value, row) => all + (isAskedFor((frame.low[row] + frame.high[row]) / 2) ? value : 0), 0);
    const without = state.hidden.size ? `without ${[...state.hidden].join(", ")}` : "";
    fillFooter(parts.footer, frame.origin.label, [
      [frame.origin.coverage], [`longs ${usd(sum(sums.long), 3)}, shorts ${usd(sum(sums.short), 3)}`], [without],
      [barLabel(), `${name}-bar`], [frame.ignored],
    ]);
    stage.redraw();
  }

  return {
    name, kind: "map", root: parts.root, heading: parts.heading, stage, subject: frames[0].subject,
    prepare: async () => show(0),
    cellAt: barAt,
    pointOf: (at) => ({ x: toX(at), y: layout.y + layout.height / 2 }),
    plot: () => layout,
    state: () => ({
      title: parts.title.textContent, ...choice.keys[state.index], pools: state.pools, isHome: state.isHome,
      options: { symbol: choice.options("symbol"), exchange: choice.options("exchange"), model: choice.options("model") },
      layers: frame.layers.map((layer) => layer.name), hiddenLayers: [...state.hidden], price: { low: state.view[0], high: state.view[1] },
      current: frame.current, bucketsPerBar: together,
    }),
  };
}
