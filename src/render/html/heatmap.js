/*
 * Heatmaps: time × price, the profile of one instant beside it, and the controls. What is hidden and what is how bright
 * follows view.rs.
 */

const RANGES = [["12 h", 12 * HOUR], ["24 h", DAY], ["3 d", 3 * DAY], ["7 d", 7 * DAY], ["30 d", 30 * DAY], ["90 d", 90 * DAY]];
const MOST_DECODED = 6;

function createHeatmaps(name, section) {
  const { frames } = section;
  const choice = createChoice(frames);
  const decoded = new Map();
  const state = {
    index: 0, leverage: "all", range: "all", threshold: data.threshold, intensity: data.scale,
    candles: true, pools: true, profile: true, view: null, isHome: true,
  };
  // `totals` are of the whole grid where `grid` holds the largest cells of blocks, else null.
  let frame = null, grid = null, totals = null, stats = null, scale = null, layout = null, image = null, hatch = null;
  // The frame that was asked for last; a grid takes some milliseconds to decode, and choices may follow faster.
  let wanted = 0, asked = 0, shown = 0;

  const picture = { draw, drawOver, pan, zoom, reset };
  const selects = choiceControls(name, choice, (dimension, value) => show(choice.nearest(wanted, dimension, value)));
  const leverage = element("select", { id: `${name}-leverage` });
  const range = element("select", { id: `${name}-range` });
  const intensity = element("select", { id: `${name}-intensity` });
  const slider = element("input", {
    id: `${name}-threshold`, type: "range", min: "0", max: String(Math.max(5, data.threshold)), step: "0.05",
    value: String(data.threshold),
  });
  const sliderValue = element("output", { id: `${name}-threshold-value`, htmlFor: `${name}-threshold` });
  const sliderLabel = labelled("threshold", slider);
  sliderLabel.append(sliderValue);
  sliderLabel.title = "hides cells below this many times the mean of the cells that are not empty";
  const toggle = (key, text) => checkbox(`${name}-${key}`, text, true, (checked) => {
    state[key] = checked;
    stage.redraw();
  });
  const toggles = { candles: toggle("candles", "candles"), pools: toggle("pools", "pools"), profile: toggle("profile", "profile") };
  const parts = sectionElements(name, [
    ...selects.labels, labelled("leverage", leverage), labelled("range", range), sliderLabel,
    labelled("intensity", intensity), ...Object.values(toggles),
  ]);
  parts.heading.append(resetButton(name, picture));
  const stage = createStage(name, parts.host, picture);
  parts.hint.textContent = "wheel zooms (shift: time, ctrl: price) · drag moves · double click resets";

  leverage.addEventListener("change", () => { state.leverage = leverage.value; show(wanted); });
  range.addEventListener("change", () => { state.range = range.value; measureCells(); goHome(); refresh(); });
  intensity.addEventListener("change", () => { state.intensity = intensity.value; refresh(); });
  slider.addEventListener("input", () => { state.threshold = Number(slider.value); refresh(); });
  fillSelect(intensity, data.scales.map((value) => ({ value, label: value })), state.intensity);

  async function decode(index) {
    const known = decoded.get(index);
    // The one looked at last stands last.
    decoded.delete(index);
    const made = known ?? Object.assign({}, frames[index], await decodedParts(frames[index]));
    decoded.set(index, made);
    if (decoded.size > MOST_DECODED) decoded.delete(decoded.keys().next().value);
    return made;
  }

  async function decodedParts(source) {
    const [cells, totals, sides, isPresent, current, candles] = await Promise.all([
      inflateNumbers(source.cells, Float32Array), inflateTotals(source), inflate(source.sides), inflate(source.isPresent),
      inflateNumbers(source.current, Float64Array), source.candles ? inflateNumbers(source.candles, Float64Array) : null,
    ]);
    return { cells, totals, sides, isPresent, current, candles, bandCells: null };
  }

  /** Sums per column of the whole grid, if the embedded one is smaller: the five lists of `shrink.rs`. */
  async function inflateTotals(source) {
    if (!source.totals) return null;
    const lists = await inflateNumbers(source.totals, Float64Array), length = lists.length / 5;
    const [sums, counts, largest, longs, shorts] = [0, 1, 2, 3, 4].map((list) => lists.subarray(list * length, (list + 1) * length));
    return { sums, counts, largest, longs, shorts };
  }

  /** The parts by leverage are decoded when somebody asks for them. */
  async function decodeBands(of) {
    of.bandsAsked ??= Promise.all(of.bands.map((band) => Promise.all([inflateNumbers(band.cells, Float32Array), inflateTotals(band)])));
    const bands = await of.bandsAsked;
    of.bandCells = bands.map(([cells]) => cells);
    of.bandTotals = bands.map(([, totals]) => totals);
    return of.bandCells;
  }

  /** Shows a frame, or another part of it, and keeps what it also has. Nothing changes before all of it is decoded. */
  async function show(index) {
    const ticket = ++asked;
    wanted = index;
    const next = await decode(index);
    const band = next.bands.findIndex((one) => one.name === state.leverage);
    const cells = band < 0 ? next.cells : (await decodeBands(next))[band];
    // Somebody has chosen again in the meantime.
    if (ticket !== asked) return;
    shown = ticket;
    const isSameSymbol = frame !== null && frame.symbol === next.symbol;
    state.index = index;
    frame = next;
    grid = cells;
    totals = band < 0 ? next.totals : next.bandTotals[band];
    if (band < 0) state.leverage = "all";
    const ranges = RANGES.filter(([, length]) => length < frame.time.end - frame.time.first);
    if (!ranges.some(([label]) => label === state.range)) state.range = "all";
    fillSelect(range, [{ value: "all", label: "all" }, ...ranges.map(([label]) => ({ value: label, label }))], state.range);
    fillSelect(leverage, ["all", ...frame.bands.map((one) => one.name)].map((value) => ({ value, label: value })), state.leverage);
    selects.fill(index);
    toggles.candles.lastChild.textContent = frame.candles ? "candles" : "price";
    toggles.candles.hidden = !frame.candles && !frame.current.some(Number.isFinite);
    toggles.pools.hidden = frame.pools.length === 0;
    measureCells();
    keepView(isSameSymbol);
    refresh();
  }

  /** The columns of the chosen range, [first, one past the last]; as `TimeRange::Last` of the rows. */
  function rangeColumns() {
    const found = RANGES.find(([label]) => label === state.range);
    if (!found) return [0, frame.time.count];
    const from = frame.time.last - found[1];
    return [clamp(Math.floor((from - frame.time.first) / frame.time.step) + 1, 0, frame.time.count - 1), frame.time.count];
  }

  function rangeTimes() {
    const [first] = rangeColumns();
    return [frame.time.first + first * frame.time.step, frame.time.end];
  }

  /** Rows whose centres lie within the prices that were asked for. */
  function priceRows() {
    if (!frame.prices) return [0, frame.price.count];
    const row = (at) => clamp(Math.ceil((at - frame.price.low) / frame.price.step - 0.5), 0, frame.price.count);
    return frame.prices.map(row);
  }

  /** What does not depend on the threshold: all cells that are not empty in order of size, and the largest per row. */
  function measureCells() {
    const rows = frame.price.count, [first, end] = rangeColumns(), [bottom, top] = priceRows();
    const found = new Float32Array((end - first) * (top - bottom)), largestOfRow = new Float32Array(rows);
    let length = 0, sum = 0;
    for (let column = first; column < end; column++) {
      for (let row = bottom; row < top; row++) {
        const value = grid[column * rows + row];
        if (!(value > 0)) continue;
        found[length++] = value;
        sum += value;
        if (value > largestOfRow[row]) largestOfRow[row] = value;
      }
    }
    const sorted = found.subarray(0, length).sort();
    let cells = length, max = length ? sorted[length - 1] : 0;
    if (totals) {
      const over = (list) => list.subarray(first, end);
      const add = (all, value) => all + value;
      sum = over(totals.sums).reduce(add, 0);
      cells = over(totals.counts).reduce(add, 0);
      // As precise as the cells that are compared with it.
      max = Math.fround(largest(over(totals.largest), 0));
    }
    stats = { sorted, mean: cells ? sum / cells : 0, max, largestOfRow, drawn: sorted, drawnKey: "" };
  }

  /** The cells as the whole picture shows them: where several share a pixel, their largest. */
  function drawnCells(width, height) {
    const rows = frame.price.count, [first, end] = rangeColumns(), [bottom, top] = priceRows();
    const columns = Math.min(end - first, width), lines = Math.min(top - bottom, height);
    const key = `${columns} ${lines}`;
    if (stats.drawnKey === key) return stats.drawn;
    stats.drawnKey = key;
    if (columns === end - first && lines === top - bottom) return stats.drawn = stats.sorted;
    const across = spansOf(0, 1, end - first, 0, end - first, columns).spans, along = spansOf(0, 1, top - bottom, 0, top - bottom, lines).spans;
    const found = new Float32Array(across.length * along.length);
    let length = 0;
    for (const [left, right] of across) {
      for (const [lower, upper] of along) {
        let largest = 0;
        for (let column = first + left; column < first + right; column++) {
          for (let cell = column * rows + bottom + lower, last = column * rows + bottom + upper; cell < last; cell++) {
            if (grid[cell] > largest) largest = grid[cell];
          }
        }
        if (largest > 0) found[length++] = largest;
      }
    }
    return stats.drawn = found.subarray(0, length).sort();
  }

  /** The first position in sorted values that is not below a value. */
  function lowerBound(sorted, value) {
    let low = 0, high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  // A heatmap in which all cells are equal must not vanish under a threshold above one.
  const thresholdUsd = () => Math.min(state.threshold * stats.mean, stats.max);

  function measureScale() {
    const low = thresholdUsd();
    const drawn = drawnCells(Math.round(layout.plot.width * stage.ratio), Math.round(layout.plot.height * stage.ratio));
    const first = lowerBound(drawn, low), length = drawn.length - first;
    const brightest = length > 0 ? drawn[first + Math.round((length - 1) * data.brightest)] : stats.max;
    scale = colorScale(low, brightest, state.intensity);
  }

  /** Prices of the whole picture: the rows in which something is visible, and the price if it is near. */
  function homePrices() {
    if (frame.prices) return frame.prices;
    const low = thresholdUsd();
    let bottom = stats.largestOfRow.findIndex((value) => value > 0 && value >= low);
    let top = stats.largestOfRow.findLastIndex((value) => value > 0 && value >= low) + 1;
    if (bottom < 0) [bottom, top] = [0, frame.price.count];
    const edges = [frame.price.low + bottom * frame.price.step, frame.price.low + top * frame.price.step];
    const margin = (edges[1] - edges[0]) / 5, [first, end] = rangeColumns();
    let [lowest, highest] = edges;
    for (let column = first; column < end; column++) {
      const candle = candleAt(column), now = frame.current[column];
      if (Number.isFinite(now)) [lowest, highest] = [Math.min(lowest, now), Math.max(highest, now)];
      if (candle) [lowest, highest] = [Math.min(lowest, candle.low), Math.max(highest, candle.high)];
    }
    return [Math.max(lowest, edges[0] - margin), Math.min(highest, edges[1] + margin)];
  }

  /** How far a view may go. */
  function limits() {
    const [low, high] = homePrices();
    const lowest = Math.min(low, frame.price.low), highest = Math.max(high, frame.price.high);
    const margin = (highest - lowest) * 0.05;
    return { time: rangeTimes(), price: [Math.max(lowest - margin, Math.min(lowest, 0)), highest + margin] };
  }

  function goHome() {
    const [t0, t1] = rangeTimes(), [p0, p1] = homePrices();
    state.view = { t0, t1, p0, p1 };
    state.isHome = true;
  }

  /** After a change of the frame: the same part of it, if there is one. */
  function keepView(isSameSymbol) {
    const before = state.view;
    if (before === null || state.isHome) return goHome();
    const bounds = limits();
    const overlaps = (from, to, [low, high]) => from < high && to > low;
    const keepsTime = overlaps(before.t0, before.t1, bounds.time);
    const keepsPrice = isSameSymbol && overlaps(before.p0, before.p1, bounds.price);
    goHome();
    if (keepsTime) [state.view.t0, state.view.t1] = moved([before.t0, before.t1], 0, bounds.time);
    if (keepsPrice) [state.view.p0, state.view.p1] = moved([before.p0, before.p1], 0, bounds.price);
    state.isHome = !keepsTime && !keepsPrice;
  }

  function reset() {
    goHome();
    stage.redraw();
  }

  function pan(dx, dy, from) {
    if (!layout) return;
    const { plot } = layout, view = state.view, bounds = limits();
    const area = areaOf(from);
    if (area !== "price") [view.t0, view.t1] = moved([view.t0, view.t1], -dx / plot.width * (view.t1 - view.t0), bounds.time);
    if (area !== "time") [view.p0, view.p1] = moved([view.p0, view.p1], dy / plot.height * (view.p1 - view.p0), bounds.price);
    state.isHome = false;
    stage.redraw();
  }

  function zoom(x, y, factor, axes) {
    if (!layout) return;
    const { plot } = layout, view = state.view, bounds = limits(), area = areaOf({ x, y });
    const t = view.t0 + clamp((x - plot.x) / plot.width, 0, 1) * (view.t1 - view.t0);
    const p = view.p1 - clamp((y - plot.y) / plot.height, 0, 1) * (view.p1 - view.p0);
    if (axes.x && area !== "price") [view.t0, view.t1] = zoomed([view.t0, view.t1], t, factor, bounds.time, 4 * frame.time.step);
    if (axes.y && area !== "time") [view.p0, view.p1] = zoomed([view.p0, view.p1], p, factor, bounds.price, 4 * frame.price.step);
    state.isHome = false;
    stage.redraw();
  }

  function areaOf(point) {
    if (!point || !layout) return "plot";
    if (point.y > layout.plot.y + layout.plot.height) return "time";
    return point.x > layout.plot.x + layout.plot.width ? "price" : "plot";
  }

  const candleAt = (column) => {
    if (!frame.candles || Number.isNaN(frame.candles[4 * column])) return null;
    const [open, high, low, close] = frame.candles.subarray(4 * column, 4 * column + 4);
    return { open, high, low, close };
  };

  const toX = (ms) => layout.plot.x + (ms - state.view.t0) / (state.view.t1 - state.view.t0) * layout.plot.width;
  const toY = (at) => layout.plot.y + (state.view.p1 - at) / (state.view.p1 - state.view.p0) * layout.plot.height;
  const columnTime = (column) => frame.time.first + column * frame.time.step;

  function measureLayout() {
    const isNarrow = stage.width < NARROW;
    const snap = (value) => Math.round(value * stage.ratio) / stage.ratio;
    const widthOf = (at) => stage.base.measureText(decimal(at, frame.price.decimals)).width;
    const longest = Math.max(...[state.view.p0, state.view.p1, frame.lastPrice ?? 0].map(widthOf));
    const last = frame.lastPrice === null ? 0 : stage.base.measureText(marketPrice(frame.lastPrice)).width;
    const axisWidth = Math.ceil(Math.max(longest, last)) + 16;
    const profileWidth = state.profile && !isNarrow ? clamp(Math.round(stage.width * 0.17), 150, 290) : 0;
    const left = isNarrow ? 52 : 72, top = 8, bottom = 24;
    const plot = {
      x: snap(left), y: snap(top),
      width: snap(Math.max(stage.width - left - axisWidth - profileWidth, 40)), height: snap(Math.max(stage.height - top - bottom, 40)),
    };
    const profile = { x: plot.x + plot.width + axisWidth, y: plot.y, width: profileWidth - 4, height: plot.height };
    layout = { isNarrow, plot, profile };
    toggles.profile.hidden = isNarrow;
  }

  function draw() {
    if (!frame) return;
    const context = stage.base, colors = cssColors();
    measureLayout();
    measureScale();
    const { plot } = layout;
    drawGaps(context, colors);
    drawCells(context);
    context.save();
    context.beginPath();
    context.rect(plot.x, plot.y, plot.width, plot.height);
    context.clip();
    if (state.candles) drawPrice(context, colors);
    if (frame.lastPrice !== null) {
      context.globalAlpha = 0.85;
      context.strokeStyle = colors.price;
      context.setLineDash([5, 4]);
      line(context, plot.x, Math.round(toY(frame.lastPrice)) + 0.5, plot.x + plot.width, Math.round(toY(frame.lastPrice)) + 0.5);
      context.setLineDash([]);
      context.globalAlpha = 1;
    }
    if (state.pools) drawPoolLabels(context, colors, frame.pools, plot, toY);
    context.restore();
    drawColorScale(context, colors);
    drawPriceAxis(context, colors);
    drawTimeAxis(context, colors, plot, state.view.t0, state.view.t1);
  }

  /** What lies beside the data, or where the data has no such instant, is paper with lines. */
  function drawGaps(context, colors) {
    const { plot } = layout;
    if (!hatch || hatch.color !== colors["gap-line"]) {
      const tile = element("canvas", { width: 8, height: 8 }), pen = tile.getContext("2d");
      pen.strokeStyle = colors["gap-line"];
      for (const shift of [-8, 0, 8]) line(pen, shift, 8, shift + 8, 0);
      hatch = { pattern: context.createPattern(tile, "repeat"), color: colors["gap-line"] };
    }
    context.fillStyle = colors.gap;
    context.fillRect(plot.x, plot.y, plot.width, plot.height);
    context.fillStyle = hatch.pattern;
    context.fillRect(plot.x, plot.y, plot.width, plot.height);
  }

  function drawCells(context) {
    const { plot } = layout, { ratio } = stage;
    const width = Math.max(1, Math.round(plot.width * ratio)), height = Math.max(1, Math.round(plot.height * ratio));
    if (!image || image.canvas.width !== width || image.canvas.height !== height) {
      const canvas = element("canvas", { width, height });
      image = { canvas, pen: canvas.getContext("2d"), data: new ImageData(width, height) };
    }
    paintCells(image.data, frame, grid, state.view, scale);
    // Through a canvas of its own, so that transparent pixels leave the gaps as they are.
    image.pen.putImageData(image.data, 0, 0);
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(image.canvas, Math.round(plot.x * ratio), Math.round(plot.y * ratio));
    context.restore();
  }

  /** Candles, as many to one as have room; or the current prices as a line. */
  function drawPrice(context, colors) {
    const view = state.view, [first, end] = rangeColumns();
    const from = clamp(Math.floor((view.t0 - frame.time.first) / frame.time.step) - 1, first, end);
    const to = clamp(Math.ceil((view.t1 - frame.time.first) / frame.time.step) + 1, first, end);
    const columnWidth = frame.time.step / (view.t1 - view.t0) * layout.plot.width;
    if (!frame.candles) return drawPriceLine(context, colors, from, to);
    const together = Math.max(1, Math.ceil(3 / columnWidth));
    const body = clamp(Math.floor(columnWidth * together * 0.7), 1, 15);
    const candles = [];
    for (let column = from - from % together; column < to; column += together) {
      const candle = mergedCandle(column, Math.min(column + together, end));
      if (!candle) continue;
      const middle = Math.round(toX(columnTime(column)) + columnWidth * together / 2);
      const top = Math.round(toY(Math.max(candle.open, candle.close))), bottom = Math.round(toY(Math.min(candle.open, candle.close)));
      candles.push({ middle, high: toY(candle.high), low: toY(candle.low), top, bottom: Math.max(bottom, top + 1), isUp: candle.close >= candle.open });
    }
    // The dark rim first: white and red must stand out from yellow and green too.
    context.globalAlpha = 0.8;
    context.fillStyle = colors.outline;
    for (const candle of candles) {
      context.fillRect(candle.middle - 1, candle.high - 1, 3, candle.low - candle.high + 2);
      context.fillRect(candle.middle - (body >> 1) - 1, candle.top - 1, body + 2, candle.bottom - candle.top + 2);
    }
    context.globalAlpha = 1;
    for (const isUp of [true, false]) {
      context.fillStyle = isUp ? colors.risen : colors.fallen;
      for (const candle of candles.filter((one) => one.isUp === isUp)) {
        context.fillRect(candle.middle, candle.high, 1, Math.max(candle.low - candle.high, 1));
        context.fillRect(candle.middle - (body >> 1), candle.top, body, candle.bottom - candle.top);
      }
    }
  }

  function mergedCandle(from, to) {
    let whole = null;
    for (let column = from; column < to; column++) {
      const next = candleAt(column);
      if (!next) continue;
      whole = whole
        ? { open: whole.open, high: Math.max(whole.high, next.high), low: Math.min(whole.low, next.low), close: next.close }
        : next;
    }
    return whole;
  }

  /** A price stands at the beginning of its column and holds to the end of the last one; one column alone is a dash. */
  function drawPriceLine(context, colors, from, to) {
    const isKnown = (column) => Number.isFinite(frame.current[column]);
    context.beginPath();
    for (let column = from; column < to; column++) {
      if (!isKnown(column)) continue;
      const x = toX(columnTime(column)), y = toY(frame.current[column]), isFirst = column === from || !isKnown(column - 1);
      if (isFirst) context.moveTo(x, y);
      else context.lineTo(x, y);
      const isLast = column + 1 === frame.time.count, isAlone = isFirst && !isKnown(column + 1);
      if (isLast || isAlone) context.lineTo(toX(Math.min(columnTime(column + 1), frame.time.end)), y);
    }
    context.lineJoin = "round";
    for (const [width, color, alpha] of [[3.5, colors.outline, 0.7], [1.5, colors.risen, 1]]) {
      context.globalAlpha = alpha;
      context.lineWidth = width;
      context.strokeStyle = color;
      context.stroke();
    }
    context.lineWidth = 1;
  }

  function drawColorScale(context, colors) {
    const { plot, isNarrow } = layout, width = isNarrow ? 6 : 12, x = plot.x - width - 6;
    for (let y = 0; y < plot.height; y++) {
      context.fillStyle = cssOfPixel(scale.at(1 - y / plot.height));
      context.fillRect(x, plot.y + y, width, 1.5);
    }
    context.fillStyle = colors.dim;
    context.textAlign = "right";
    for (let part = 0; part <= 4; part++) {
      const y = clamp(plot.y + plot.height * (1 - part / 4), plot.y + 6, plot.y + plot.height - 6);
      context.fillText((part === 4 && !isNarrow ? "≥ " : "") + usd(scale.usd(part / 4)), x - 4, y);
    }
  }

  function drawPriceAxis(context, colors) {
    const { plot } = layout, view = state.view, x = plot.x + plot.width;
    const { step, decimals } = roundStep((view.p1 - view.p0) / plot.height * 44);
    const current = frame.lastPrice === null ? -Infinity : toY(frame.lastPrice);
    context.textAlign = "left";
    for (const at of multiples(view.p0, view.p1, step)) {
      const y = toY(at);
      // The tag of the current price stands there.
      if (Math.abs(y - current) < 16) continue;
      context.strokeStyle = colors.line;
      line(context, x, Math.round(y) + 0.5, x + 4, Math.round(y) + 0.5);
      context.fillStyle = colors.dim;
      context.fillText(decimal(at, decimals), x + 8, clamp(y, plot.y + 6, plot.y + plot.height - 6));
    }
    if (current >= plot.y && current <= plot.y + plot.height) {
      tag(context, marketPrice(frame.lastPrice), x + 3, clamp(current, plot.y + 9, plot.y + plot.height - 9), colors.tag, colors["tag-ink"], "left");
    }
  }

  /** The column whose profile is drawn: the one under the pointer, else the last that has data. */
  function profileColumn() {
    const [first, end] = rangeColumns(), cell = stage.hover && cellAt(stage.hover);
    if (cell) return cell.column;
    const last = frame.isPresent.lastIndexOf(1, end - 1);
    return last >= first ? last : end - 1;
  }

  /** Long and short notional of a cell; where both stand, price tells them apart. */
  function parted(column, row) {
    const cell = column * frame.price.count + row, value = grid[cell], sides = frame.sides[cell];
    if (sides === 1) return [value, 0];
    if (sides === 2) return [0, value];
    const now = frame.current[column];
    if (!Number.isFinite(now)) return [value / 2, value / 2];
    return frame.price.low + (row + 0.5) * frame.price.step < now ? [value, 0] : [0, value];
  }

  function profileOf(column) {
    const rows = frame.price.count, longs = new Float64Array(rows), shorts = new Float64Array(rows);
    let largest = 0, long = 0, short = 0;
    for (let row = 0; row < rows; row++) {
      const [below, above] = parted(column, row);
      longs[row] = below;
      short += above;
      shorts[row] = short;
      largest = Math.max(largest, below + above);
    }
    for (let row = rows - 1; row >= 0; row--) {
      long += longs[row];
      longs[row] = long;
    }
    // Largest cells do not add up: their sums have the right shape, the totals are those of the whole grid.
    if (totals) {
      const [wholeLong, wholeShort] = [totals.longs[column], totals.shorts[column]];
      for (let row = 0; row < rows; row++) {
        longs[row] *= long > 0 ? wholeLong / long : 0;
        shorts[row] *= short > 0 ? wholeShort / short : 0;
      }
      [long, short] = [wholeLong, wholeShort];
    }
    return { longs, shorts, largest, long, short };
  }

  function drawOver() {
    if (!frame || !layout) return;
    const context = stage.over, colors = cssColors(), column = profileColumn();
    if (layout.profile.width > 0) drawProfile(context, colors, column);
    const cell = within(layout.plot, stage.hover) ? cellAt(stage.hover) : null;
    if (cell) drawCrosshair(context, colors, cell);
    showTooltip(stage, stage.hover, cell && tooltipOf(cell), layout.isNarrow ? stage.width : layout.plot.x + layout.plot.width);
  }

  function drawProfile(context, colors, column) {
    const { profile } = layout, rows = frame.price.count, view = state.view;
    const { longs, shorts, largest, long, short } = profileOf(column);
    const most = roundEnd(largest), mostCumulative = roundEnd(Math.max(long, short));
    context.fillStyle = colors.panel;
    context.fillRect(profile.x, profile.y, profile.width, profile.height);
    context.save();
    context.beginPath();
    context.rect(profile.x, profile.y, profile.width, profile.height);
    context.clip();
    const bottom = clamp(Math.floor((view.p0 - frame.price.low) / frame.price.step), 0, rows);
    const top = clamp(Math.ceil((view.p1 - frame.price.low) / frame.price.step), 0, rows);
    const height = frame.price.step / (view.p1 - view.p0) * profile.height;
    const together = Math.max(1, Math.ceil(1 / height));
    for (let row = bottom - bottom % together; row < top; row += together) {
      let [value, isLong] = [0, true];
      for (let other = row; other < Math.min(row + together, rows); other++) {
        const [below, above] = parted(column, other);
        if (below + above > value) [value, isLong] = [below + above, below >= above];
      }
      if (!(value > 0)) continue;
      const y = toY(frame.price.low + (row + together) * frame.price.step);
      context.globalAlpha = value >= scale.low ? 0.62 : 0.24;
      context.fillStyle = isLong ? colors.long : colors.short;
      context.fillRect(profile.x, y, Math.max(value / most * profile.width, 1), Math.max(height * together - (height >= 4 ? 1 : 0.2), 0.8));
    }
    context.globalAlpha = 1;
    drawCumulative(context, colors.long, longs, mostCumulative, bottom, top);
    drawCumulative(context, colors.short, shorts, mostCumulative, bottom, top);
    const now = Number.isFinite(frame.current[column]) ? frame.current[column] : null;
    if (now !== null) {
      context.strokeStyle = colors.ink;
      context.setLineDash([5, 4]);
      line(context, profile.x, Math.round(toY(now)) + 0.5, profile.x + profile.width, Math.round(toY(now)) + 0.5);
      context.setLineDash([]);
    }
    context.restore();
    drawProfileText(context, colors, column, most, mostCumulative, long, short);
  }

  function drawCumulative(context, color, sums, most, bottom, top) {
    const { profile } = layout;
    context.strokeStyle = color;
    context.lineWidth = 2;
    context.beginPath();
    let isDown = false;
    for (let row = bottom; row < top; row++) {
      if (!(sums[row] > 0)) { isDown = false; continue; }
      const x = profile.x + sums[row] / most * profile.width, y = toY(frame.price.low + (row + 0.5) * frame.price.step);
      if (isDown) context.lineTo(x, y);
      else context.moveTo(x, y);
      isDown = true;
    }
    context.stroke();
    context.lineWidth = 1;
  }

  function drawProfileText(context, colors, column, most, mostCumulative, long, short) {
    const { profile } = layout, y = profile.y + profile.height + 13;
    context.fillStyle = colors.dim;
    context.textAlign = "left";
    context.fillText("$0", profile.x, y);
    context.textAlign = "center";
    context.fillText(usd(mostCumulative / 2), profile.x + profile.width / 2, y);
    context.textAlign = "right";
    context.fillText(usd(mostCumulative), profile.x + profile.width, y);
    const lines = [
      [instant(frame.sumsAt ? frame.sumsAt[column] : columnTime(column)) + " UTC", colors.ink],
      [`short ${usd(short, 3)}`, colors.short],
      [`long ${usd(long, 3)}`, colors.long],
      [frame.shrunk ? `bars: largest cells, to ${usd(most)}` : `bars to ${usd(most)}`, colors.dim],
      [frame.shrunk ? "lines: cumulative, ends exact" : "lines: cumulative", colors.dim],
    ];
    context.textAlign = "right";
    lines.forEach(([text, color], index) => {
      const width = context.measureText(text).width, right = profile.x + profile.width - 6, middle = profile.y + 12 + 15 * index;
      context.globalAlpha = 0.8;
      context.fillStyle = colors.panel;
      context.fillRect(right - width - 3, middle - 8, width + 6, 15);
      context.globalAlpha = 1;
      context.fillStyle = color;
      context.fillText(text, right, middle);
    });
  }

  function drawCrosshair(context, colors, cell) {
    const { plot, profile } = layout, { x, y } = stage.hover, view = state.view;
    const right = profile.width > 0 ? profile.x + profile.width : plot.x + plot.width;
    context.globalAlpha = 0.6;
    context.strokeStyle = colors.price;
    context.setLineDash([2, 3]);
    line(context, Math.round(x) + 0.5, plot.y, Math.round(x) + 0.5, plot.y + plot.height);
    line(context, plot.x, Math.round(y) + 0.5, plot.x + plot.width, Math.round(y) + 0.5);
    context.globalAlpha = 1;
    context.strokeStyle = colors.dim;
    if (profile.width > 0) line(context, profile.x, Math.round(y) + 0.5, right, Math.round(y) + 0.5);
    context.setLineDash([]);
    const p = view.p1 - (y - plot.y) / plot.height * (view.p1 - view.p0);
    const text = cell.timeText;
    tag(context, decimal(p, frame.price.decimals + 1), plot.x + plot.width + 3, y, colors.line, colors.ink, "left");
    const half = context.measureText(text).width / 2 + 5;
    tag(context, text, clamp(x, plot.x + half, plot.x + plot.width - half), plot.y + plot.height + 13, colors.line, colors.ink, "center");
  }

  /** What is drawn at a point of the stage: of the cells that share its pixel the largest. */
  function cellAt(point) {
    if (!frame || !layout || !within(layout.plot, point)) return null;
    const { plot } = layout, { ratio } = stage, view = state.view, rows = frame.price.count;
    const width = Math.max(1, Math.round(plot.width * ratio)), height = Math.max(1, Math.round(plot.height * ratio));
    const pixel = {
      x: clamp(Math.floor((point.x - plot.x) * ratio), 0, width - 1),
      y: height - 1 - clamp(Math.floor((point.y - plot.y) * ratio), 0, height - 1),
    };
    const [first, end] = spanAt(frame.time.first, frame.time.step, frame.time.count, view.t0, (view.t1 - view.t0) / width, pixel.x);
    const [bottom, top] = spanAt(frame.price.low, frame.price.step, rows, view.p0, (view.p1 - view.p0) / height, pixel.y);
    if (first === end || bottom === top) return null;
    let found = { column: first, row: bottom, usd: 0 };
    for (let column = first; column < end; column++) {
      for (let row = bottom; row < top; row++) {
        const value = grid[column * rows + row];
        if (value > found.usd) found = { column, row, usd: value };
      }
    }
    const { column, row } = found, index = column * rows + row;
    const low = frame.price.low + row * frame.price.step, now = Number.isFinite(frame.current[column]) ? frame.current[column] : null;
    if (frame.bands.length && !frame.bandCells) decodeBands(frame).then(() => stage.redrawOver());
    const bands = frame.bandCells ? Object.fromEntries(frame.bands.map((band, at) => [band.name, frame.bandCells[at][index]])) : {};
    return {
      section: name, column, row, ts: columnTime(column), timeText: instant(columnTime(column)), low, high: low + frame.price.step,
      usd: found.usd, side: found.usd > 0 ? ["none", "long", "short", "both"][frame.sides[index]] : "none", isHidden: found.usd < thresholdUsd(),
      isGap: frame.isPresent[column] !== 1, bands, price: now, distance: now ? (low + frame.price.step / 2 - now) / now : null,
      candle: candleAt(column),
    };
  }

  function tooltipOf(cell) {
    const rows = [], isEmpty = !(cell.usd > 0);
    const shown = Object.entries(cell.bands).filter(([, value]) => value > 0).reverse();
    for (const [band, value] of shown) rows.push([band, usd(value, 3), state.leverage === band ? "both" : ""]);
    if (cell.distance !== null) rows.push(["from price then", signedPercent(cell.distance)]);
    if (cell.price !== null) rows.push(["price then", marketPrice(cell.price)]);
    if (cell.candle) {
      const { open, high, low, close } = cell.candle;
      rows.push(["open → close", `${marketPrice(open)} → ${marketPrice(close)}`], ["low … high", `${marketPrice(low)} … ${marketPrice(high)}`]);
    }
    const size = frame.shrunk ? ["largest cell of these times and prices"] : [];
    const hidden = !isEmpty && cell.isHidden ? ["hidden by the threshold"] : [];
    const big = cell.isGap ? "no data at this time" : isEmpty ? "nothing" : `${usd(cell.usd, 3)} ${cell.side === "both" ? "long and short" : cell.side}`;
    return {
      head: [`${cell.timeText} UTC`, `${decimal(cell.low, frame.price.decimals)} – ${decimal(cell.high, frame.price.decimals)}`, ...size, ...hidden],
      big, bigClass: isEmpty ? "" : cell.side, rows,
    };
  }

  /** Says so if all that stands at the end on one side is below the threshold: `Heatmap::hidden_side`. */
  function hiddenSide([long, short], low) {
    const [hidesLongs, hidesShorts] = [long, short].map((most) => most > 0 && most < low);
    if (hidesLongs && hidesShorts) return "all that stands at the end is below the threshold";
    if (hidesLongs) return "all longs at the end are below the threshold";
    return hidesShorts ? "all shorts at the end are below the threshold" : "";
  }

  /** The texts around the picture, and the picture. */
  function refresh() {
    if (!frame) return;
    const [first] = rangeColumns(), low = thresholdUsd();
    const hidden = lowerBound(stats.sorted, low);
    const times = `${instants(columnTime(first), frame.time.last)} UTC`;
    const model = modelPlaces(choice, frame);
    const title = joined(frame.subject, times, model.title, state.leverage !== "all" && state.leverage);
    const whole = data.title ?? title;
    parts.title.textContent = whole;
    parts.parameters.textContent = joined(data.title && title, model.parameters, frame.origin.parameters, frame.cell);
    stage.under.setAttribute("aria-label", whole);
    sliderValue.textContent = `${number(state.threshold)} ×`;
    const { lastUsd, lastLargest } = frame.bands.find((band) => band.name === state.leverage) ?? frame;
    const shown = frame.shrunk ? "shown cells" : "cells";
    const shrunk = frame.shrunk && `every cell of this page is the largest of ${frame.shrunk[0]} × ${frame.shrunk[1]} (time × price)`;
    fillFooter(parts.footer, frame.origin.label, [
      [frame.origin.coverage], [frame.coverage],
      [`standing at the end: longs ${usd(lastUsd[0], 3)}, shorts ${usd(lastUsd[1], 3)}`], [`largest cell ${usd(stats.max, 3)}`],
      [`threshold ${number(state.threshold)} × mean: ${count(hidden)} of ${count(stats.sorted.length)} ${shown} below ${usd(low, 3)} hidden`, `${name}-hidden`],
      [`intensity: ${state.intensity}`], [hiddenSide(lastLargest, low), `${name}-hidden-side`], [frame.ignored], [shrunk],
    ]);
    stage.redraw();
  }

  return {
    name, kind: "heatmap", root: parts.root, heading: parts.heading, stage,
    subject: frames[0].subject,
    prepare: () => show(0),
    cellAt,
    pointOf: (ms, at) => ({ x: toX(ms), y: toY(at) }),
    plot: () => layout?.plot,
    state() {
      const key = choice.keys[state.index], [from, to] = rangeColumns(), { t0, t1, p0, p1 } = state.view;
      const values = (select) => [...select.options].map((option) => option.value);
      const column = profileColumn(), profile = profileOf(column);
      return {
        title: parts.title.textContent, ...key, leverage: state.leverage, range: state.range, threshold: state.threshold,
        intensity: state.intensity, candles: state.candles, pools: state.pools, profile: state.profile, isHome: state.isHome,
        isLoading: shown !== asked,
        options: {
          symbol: choice.options("symbol"), exchange: choice.options("exchange"), model: choice.options("model"),
          leverage: values(leverage), range: values(range),
        },
        time: { from: t0, to: t1 }, price: { low: p0, high: p1 }, columns: { from, to }, cells: stats.sorted.length,
        hiddenCells: lowerBound(stats.sorted, thresholdUsd()), thresholdUsd: thresholdUsd(), brightestUsd: scale?.high ?? null,
        maxUsd: stats.max, profileColumn: column, profileLongUsd: profile.long, profileShortUsd: profile.short,
      };
    },
  };
}
