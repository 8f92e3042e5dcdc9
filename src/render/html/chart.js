/*
 * Charts: panels above each other with lines and bars, or with values and their intervals.
 */

function createChart(name, section) {
  const frame = section.frames[0];
  const state = { view: null, isHome: true };
  const picture = { draw, drawOver, pan, zoom, reset };
  const parts = sectionElements(name, []);
  const stage = createStage(name, parts.host, picture);
  const isValue = frame.x === "value";
  parts.bar.remove();
  if (!isValue) {
    parts.hint.textContent = "wheel zooms · drag moves · double click resets";
    parts.heading.append(resetButton(name, picture));
  }
  const finite = (values) => values.filter((value) => value !== null);
  const everyX = [...new Set(frame.panels.flatMap((panel) => panel.series.flatMap((series) => finite(series.x))))].sort((a, b) => a - b);
  const gap = everyX.reduce((least, x, index) => (index ? Math.min(least, x - everyX[index - 1]) : least), Infinity);
  const hasBars = frame.panels.some((panel) => panel.series.some((series) => series.mark === "bar"));
  let layout = null;

  const xText = (x) => (frame.x === "time" ? `${instant(x)} UTC` : `${frame.xName ?? "x"} ${number(x)}`);

  const seriesColors = new Map();
  for (const panel of frame.panels) {
    panel.series.forEach((series, index) => seriesColors.set(series, (theme) => panel.seriesColors[theme][index]));
  }
  const color = (series) => seriesColors.get(series)(currentTheme());

  function extent() {
    const first = everyX[0] ?? 0, last = everyX[everyX.length - 1] ?? 1;
    const margin = hasBars && Number.isFinite(gap) ? gap / 2 : first === last ? 1 : 0;
    return [first - margin, last + margin];
  }

  function goHome() { state.view = extent(); state.isHome = true; }
  function reset() { goHome(); stage.redraw(); }

  function pan(dx) {
    if (!layout || isValue) return;
    state.view = moved(state.view, -dx / layout.width * (state.view[1] - state.view[0]), extent());
    state.isHome = false;
    stage.redraw();
  }

  function zoom(x, _y, factor) {
    if (!layout || isValue) return;
    const at = state.view[0] + clamp((x - layout.x) / layout.width, 0, 1) * (state.view[1] - state.view[0]);
    state.view = zoomed(state.view, at, factor, extent(), Number.isFinite(gap) ? 2 * gap : 0);
    state.isHome = false;
    stage.redraw();
  }

  /** The values that an axis must show, with a little room. */
  function rangeOf(values, withZero) {
    if (withZero) values = [...values, 0];
    let low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
    if (!Number.isFinite(low)) return [0, 1];
    if (low === high) [low, high] = [low - (Math.abs(low) * 0.05 || 1), high + (Math.abs(high) * 0.05 || 1)];
    const margin = (high - low) * 0.06;
    return [withZero && low === 0 ? 0 : low - margin, withZero && high === 0 ? 0 : high + margin];
  }

  /** Whether an interval can be read against zero without becoming small. */
  function isNearZero(values) {
    const low = -largest(values.map((value) => -value), -Infinity), high = largest(values, -Infinity);
    return Math.max(low, -high) <= high - low;
  }

  function valuesOf(panel) {
    const values = [];
    for (const series of panel.series) {
      series.x.forEach((x, index) => {
        const isOutside = !isValue && (x < state.view[0] || x > state.view[1]);
        if (x === null || isOutside) return;
        const own = isValue ? x : series.y[index];
        for (const value of [own, series.low?.[index] ?? null, series.high?.[index] ?? null]) if (value !== null) values.push(value);
      });
    }
    return values;
  }

  function measureLayout(context) {
    const isNarrow = stage.width < NARROW, total = frame.panels.length;
    const texts = frame.panels.flatMap((panel) => (isValue ? panel.labels : rangeOf(valuesOf(panel), false).map((value) => withUnit(panel.unit, value))));
    const left = Math.min(Math.max(40, ...texts.map((text) => context.measureText(text).width + 14)), stage.width * 0.4);
    const x = Math.ceil(left), width = Math.max(stage.width - x - (isNarrow ? 8 : 16), 40);
    const below = isValue ? 0 : 24, foot = isValue ? 22 : 6;
    const height = (stage.height - below) / Math.max(total, 1);
    const panels = frame.panels.map((panel, index) => {
      const legend = legendOf(context, panel), head = 22 + legend.lines * 15;
      const box = { x, y: height * index + head, width, height: Math.max(height - head - foot, 20) };
      const range = isValue
        ? rangeOf(valuesOf(panel), isNearZero(valuesOf(panel)))
        : rangeOf(valuesOf(panel), panel.series.some((series) => series.mark === "bar"));
      return { panel, box, range, legend, top: height * index };
    });
    layout = { x, y: 0, width, height: stage.height - below, panels };
  }

  const toX = (x) => layout.x + (x - state.view[0]) / (state.view[1] - state.view[0]) * layout.width;
  const toY = ({ box, range }, y) => box.y + (range[1] - y) / (range[1] - range[0]) * box.height;

  function draw() {
    const context = stage.base, colors = cssColors();
    measureLayout(context);
    for (const part of layout.panels) {
      drawHead(context, colors, part);
      if (isValue) drawIntervals(context, colors, part);
      else drawPanel(context, colors, part);
    }
    if (!isValue) drawXAxis(context, colors);
  }

  /** Places for the names of a panel's series after its title, and how many more lines they need. */
  function legendOf(context, panel) {
    context.font = `600 ${FONT}`;
    let x = context.measureText(panel.title).width + 16, lines = 0;
    context.font = FONT;
    const entries = (isValue ? [] : panel.series).map((series) => {
      const width = context.measureText(series.name).width + 28;
      if (x + width > stage.width && x > 0) [x, lines] = [0, lines + 1];
      const entry = { series, x, y: 11 + 15 * lines };
      x += width;
      return entry;
    });
    return { entries, lines };
  }

  function drawHead(context, colors, { panel, legend, top }) {
    context.textAlign = "left";
    context.fillStyle = colors.ink;
    context.font = `600 ${FONT}`;
    context.fillText(panel.title, 0, top + 11);
    context.font = FONT;
    for (const { series, x, y } of legend.entries) {
      const isLine = series.mark !== "bar";
      context.fillStyle = color(series);
      context.fillRect(x, top + y - (isLine ? 1.5 : 5), 12, isLine ? 3 : 10);
      context.fillStyle = colors.dim;
      context.fillText(series.name, x + 16, top + y);
    }
  }

  function drawPanel(context, colors, part) {
    const { panel, box, range } = part;
    const { step, decimals } = roundStep((range[1] - range[0]) / box.height * 34);
    context.textAlign = "right";
    for (const value of multiples(...range, step)) {
      const y = Math.round(toY(part, value)) + 0.5;
      context.strokeStyle = value === 0 ? colors.dim : colors.grid;
      line(context, box.x, y, box.x + box.width, y);
      context.fillStyle = colors.dim;
      const text = panel.unit === "price" ? decimal(value, decimals) : withUnit(panel.unit, value);
      context.fillText(text, box.x - 8, clamp(y, box.y + 4, box.y + box.height - 3));
    }
    context.save();
    context.beginPath();
    // Dots at the ends are whole.
    context.rect(box.x - 4, box.y - 4, box.width + 8, box.height + 8);
    context.clip();
    const barSeries = panel.series.filter((series) => series.mark === "bar");
    for (const series of panel.series) {
      if (series.mark === "bar") drawSeriesBars(context, color(series), part, series, barSeries.indexOf(series), barSeries.length);
      else drawSeriesLine(context, color(series), part, series);
    }
    context.restore();
  }

  function drawSeriesBars(context, fill, part, series, position, siblings) {
    const room = (Number.isFinite(gap) ? gap : 1) / (state.view[1] - state.view[0]) * layout.width;
    const width = Math.max(room * 0.8 / siblings, 1), zero = toY(part, 0);
    context.fillStyle = fill;
    series.x.forEach((x, index) => {
      const y = series.y[index];
      if (x === null || y === null) return;
      const left = toX(x) - room * 0.4 + position * room * 0.8 / siblings;
      context.fillRect(left, Math.min(zero, toY(part, y)), Math.max(width - (width > 4 ? 1 : 0), 0.8), Math.max(Math.abs(zero - toY(part, y)), 0.5));
    });
  }

  function drawSeriesLine(context, stroke, part, series) {
    context.strokeStyle = stroke;
    context.fillStyle = stroke;
    context.lineWidth = 1.75;
    context.lineJoin = "round";
    context.beginPath();
    let isDown = false;
    series.x.forEach((x, index) => {
      const y = series.y[index];
      if (x === null || y === null) { isDown = false; return; }
      if (isDown) context.lineTo(toX(x), toY(part, y));
      else context.moveTo(toX(x), toY(part, y));
      isDown = true;
    });
    context.stroke();
    const isSparse = series.x.length <= 40;
    series.x.forEach((x, index) => {
      const y = series.y[index];
      if (x === null || y === null) return;
      const isAlone = (series.y[index - 1] ?? null) === null && (series.y[index + 1] ?? null) === null;
      if (isSparse || isAlone) dot(context, toX(x), toY(part, y), 2.5);
    });
    context.lineWidth = 1;
  }

  function dot(context, x, y, radius) {
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.fill();
  }

  /** A line per label, on it the value and its interval. */
  function drawIntervals(context, colors, part) {
    const { panel, box, range } = part;
    const xOf = (value) => box.x + (value - range[0]) / (range[1] - range[0]) * box.width;
    const yOf = (index) => box.y + (index + 0.5) / Math.max(panel.labels.length, 1) * box.height;
    const { step } = roundStep((range[1] - range[0]) / box.width * 80);
    context.textAlign = "center";
    for (const value of multiples(...range, step)) {
      context.strokeStyle = value === 0 ? colors.dim : colors.grid;
      line(context, Math.round(xOf(value)) + 0.5, box.y, Math.round(xOf(value)) + 0.5, box.y + box.height);
      context.fillStyle = colors.dim;
      context.fillText(withUnit(panel.unit, value), xOf(value), box.y + box.height + 9);
    }
    context.textAlign = "right";
    context.fillStyle = colors.ink;
    panel.labels.forEach((label, index) => context.fillText(label, box.x - 8, yOf(index), box.x - 10));
    for (const series of panel.series) {
      context.strokeStyle = context.fillStyle = color(series);
      context.lineWidth = 2;
      series.x.forEach((x, index) => {
        const y = series.y[index], low = series.low?.[index] ?? null, high = series.high?.[index] ?? null;
        if (x === null || y === null) return;
        if (low !== null && high !== null) {
          line(context, xOf(low), yOf(y), xOf(high), yOf(y));
          for (const end of [low, high]) line(context, xOf(end), yOf(y) - 4, xOf(end), yOf(y) + 4);
        }
        dot(context, xOf(x), yOf(y), 4);
      });
      context.lineWidth = 1;
    }
  }

  function drawXAxis(context, colors) {
    const box = { x: layout.x, y: 0, width: layout.width, height: layout.height };
    if (frame.x === "time") return drawTimeAxis(context, colors, box, ...state.view);
    context.textAlign = "center";
    const least = (state.view[1] - state.view[0]) / layout.width * 60;
    // Steps of a number that is counted are whole.
    const { step } = roundStep(everyX.every(Number.isInteger) ? Math.max(least, 1) : least);
    for (const value of multiples(...state.view, step)) {
      context.strokeStyle = colors.line;
      line(context, toX(value), layout.height, toX(value), layout.height + 4);
      context.fillStyle = colors.dim;
      context.fillText(number(value), toX(value), layout.height + 13);
    }
    context.textAlign = "left";
    if (frame.xName) context.fillText(frame.xName, 0, layout.height + 13);
  }

  /** All values at the x of some point that is nearest to the pointer. */
  function valuesAt(point) {
    if (!layout || point.x < layout.x || point.x > layout.x + layout.width || point.y < 0 || point.y > layout.height) return null;
    if (isValue) return labelAt(point);
    const at = state.view[0] + (point.x - layout.x) / layout.width * (state.view[1] - state.view[0]);
    const visible = everyX.filter((x) => x >= state.view[0] && x <= state.view[1]);
    if (visible.length === 0) return null;
    const x = visible.reduce((best, other) => (Math.abs(other - at) < Math.abs(best - at) ? other : best));
    const values = frame.panels.flatMap((panel) => panel.series.flatMap((series) => {
      const index = series.x.indexOf(x);
      if (index < 0 || series.y[index] === null) return [];
      return [{ panel: panel.title, name: series.name, y: series.y[index], low: series.low?.[index] ?? null, high: series.high?.[index] ?? null }];
    }));
    return { section: name, x, values };
  }

  function labelAt(point) {
    const part = layout.panels.find(({ box }) => point.y >= box.y && point.y < box.y + box.height);
    if (!part) return null;
    const line = Math.floor((point.y - part.box.y) / part.box.height * part.panel.labels.length);
    const values = part.panel.series.flatMap((series) => series.x.flatMap((x, index) => {
      if (series.y[index] !== line || x === null) return [];
      return [{ panel: part.panel.title, name: part.panel.labels[line], y: x, low: series.low?.[index] ?? null, high: series.high?.[index] ?? null }];
    }));
    return values.length ? { section: name, x: line, values } : null;
  }

  function drawOver() {
    if (!layout) return;
    const found = stage.hover && valuesAt(stage.hover), context = stage.over, colors = cssColors();
    if (found && !isValue) {
      const x = Math.round(toX(found.x)) + 0.5;
      context.strokeStyle = colors.dim;
      context.setLineDash([2, 3]);
      line(context, x, 0, x, layout.height);
      context.setLineDash([]);
      for (const part of layout.panels) {
        for (const series of part.panel.series) {
          const index = series.x.indexOf(found.x);
          if (index < 0 || series.y[index] === null) continue;
          context.fillStyle = color(series);
          dot(context, toX(found.x), toY(part, series.y[index]), 3.5);
        }
      }
    }
    showTooltip(stage, stage.hover, found && tooltipOf(found));
  }

  function tooltipOf(found) {
    const rows = found.values.flatMap((value, index) => {
      const isFirst = frame.panels.length > 1 && !isValue && value.panel !== found.values[index - 1]?.panel;
      const unit = frame.panels.find((panel) => panel.title === value.panel)?.unit ?? "number";
      const interval = value.low !== null && value.high !== null ? ` (${withUnit(unit, value.low)} … ${withUnit(unit, value.high)})` : "";
      return [...(isFirst ? [[value.panel, "", "panel"]] : []), [value.name, withUnit(unit, value.y) + interval]];
    });
    return { head: [isValue ? found.values[0].panel : xText(found.x)], rows };
  }

  function refresh() {
    const [first, last] = [everyX[0], everyX[everyX.length - 1]];
    const times = frame.x === "time" && everyX.length ? `${instants(first, last)} UTC` : "";
    const title = joined(frame.subject, times);
    parts.title.textContent = data.title ?? title;
    parts.parameters.textContent = joined(data.title && title, modelPlaces(null, frame).parameters, frame.origin.parameters);
    stage.under.setAttribute("aria-label", parts.title.textContent);
    fillFooter(parts.footer, frame.origin.label, [[frame.origin.coverage], ...frame.notes.map((note) => [note])]);
    stage.redraw();
  }

  return {
    name, kind: "chart", root: parts.root, heading: parts.heading, stage, subject: frame.subject,
    prepare: async () => { goHome(); refresh(); },
    cellAt: valuesAt,
    pointOf: (x) => ({ x: toX(x), y: layout.height / 2 }),
    plot: () => layout,
    state: () => ({
      title: parts.title.textContent, isHome: state.isHome, x: { from: state.view[0], to: state.view[1] },
      series: frame.panels.flatMap((panel) => panel.series.map((series) => series.name)),
      colors: frame.panels.flatMap((panel) => panel.series.map((series) => color(series))),
    }),
  };
}
