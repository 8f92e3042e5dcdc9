/*
 * Draws the pictures of a page of liqsql: the last of the files that are its script, put together in this order: text,
 * grid, stage, heatmap, map, chart, page. The script is a module: it is strict, and no name of it is global.
 *
 * In: the element #liqsql-data, JSON as `data.rs` writes it. It holds sections; a section is heatmaps that differ in
 * symbol, model or exchanges, maps that do, or one chart. Grids in it are base64 of deflated byte planes, column by
 * column, row 0 the lowest price; only those of the picture that is looked at are decoded.
 *
 * Out: one <section> per section in #liqsql, each with the controls, a canvas, a tooltip and a footer. Their ids begin
 * with the name of the section: `heatmap`, `map`, `chart`, the second of a kind `heatmap-2`. After the name:
 *   all        -title -parameters -canvas -tooltip -footer -reset
 *   heatmap    -symbol -exchange -model -leverage -range -threshold -threshold-value -intensity
 *              -candles -pools -profile -hidden (the text of what the threshold hides)
 *              -hidden-side (the text if that is all of a side)
 *   map        -symbol -exchange -model -pools -legend
 * and one #theme button for the page. <html data-ready="true"> once all sections have been drawn for the first time.
 *
 * What is hidden, what is how bright and how numbers are written follows view.rs, color.rs and axis.rs. Colours come with
 * the data and with the style sheet, for both themes.
 *
 * The only global, for tests and for people who look at numbers, is read-only:
 *   liqsql.sections          names of the sections
 *   liqsql.firstPictureMs    from the start of navigation to the first full picture
 *   liqsql.state(name)       a copy of what a section shows; of the first without a name. All have name, kind, title,
 *                            theme, paints, lastPaintMs, isHome, plot {left, top, width, height} in client pixels;
 *     heatmap                symbol, exchange, model, leverage, range, threshold, intensity, candles, pools, profile,
 *                            isLoading (something chosen is not shown yet; takes milliseconds),
 *                            options {symbol, exchange, model, leverage, range}, time {from, to} in ms,
 *                            price {low, high}, columns {from, to}, cells, hiddenCells, thresholdUsd, brightestUsd,
 *                            maxUsd, profileColumn, profileLongUsd, profileShortUsd; of a grid that is embedded
 *                            smaller cells and hiddenCells count embedded cells, the others are of the whole grid
 *     map                    symbol, exchange, model, options, layers, hiddenLayers, price {low, high}, current,
 *                            bucketsPerBar
 *     chart                  x {from, to}, series, colors
 *   liqsql.cellAt(x, y)      what is drawn at a point in client pixels, or null;
 *     heatmap                {section, column, row, ts, timeText, low, high, usd, side, isHidden, isGap, bands,
 *                            price, distance, candle}
 *     map                    {section, low, high, usd, longUsd, shortUsd, layers, cumulativeLong, cumulativeShort,
 *                            distance}
 *     chart                  {section, x, values: [{panel, name, y, low, high}]}
 *   liqsql.pointOf(name, ts or x, price)   client pixels {x, y} of a time and price (heatmap), or of a price (map)
 */
const root = document.documentElement;
const makers = { heatmap: createHeatmaps, map: createMaps, chart: createChart };
const named = {};
const views = data.sections.map((section) => {
  named[section.kind] = (named[section.kind] ?? 0) + 1;
  const name = named[section.kind] === 1 ? section.kind : `${section.kind}-${named[section.kind]}`;
  return makers[section.kind](name, section);
});

function themeButton() {
  const button = element("button", { id: "theme", type: "button", title: "light or dark paper" });
  const use = (theme) => {
    root.dataset.theme = theme;
    button.textContent = theme === "dark" ? "light theme" : "dark theme";
  };
  button.addEventListener("click", () => {
    use(root.dataset.theme === "dark" ? "light" : "dark");
    for (const view of views) view.stage.redraw();
  });
  use(root.dataset.theme);
  // Paper that is printed on is white.
  let before = root.dataset.theme;
  window.addEventListener("beforeprint", () => {
    before = root.dataset.theme;
    use("light");
    for (const view of views) view.stage.paintNow();
  });
  window.addEventListener("afterprint", () => {
    use(before);
    for (const view of views) view.stage.paintNow();
  });
  return button;
}

/** Links to the sections, if there are several. */
function navigation() {
  const links = views.map((view) => element("a", { href: `#${view.name}`, textContent: view.subject }));
  return element("nav", { "aria-label": "pictures" }, ...links);
}

function toClient(view, box) {
  const host = view.stage.host.getBoundingClientRect();
  return { left: host.left + box.x, top: host.top + box.y, width: box.width, height: box.height };
}

function publish() {
  const find = (name) => (name === undefined ? views[0] : views.find((view) => view.name === name));
  const firstPictureMs = performance.now();
  Object.defineProperty(window, "liqsql", {
    value: Object.freeze({
      sections: Object.freeze(views.map((view) => view.name)),
      firstPictureMs,
      state(name) {
        const view = find(name);
        if (!view) return null;
        const { paints, lastPaintMs } = view.stage, plot = view.plot();
        return { name: view.name, kind: view.kind, theme: root.dataset.theme, paints, lastPaintMs, plot: plot ? toClient(view, plot) : null, ...view.state() };
      },
      cellAt(clientX, clientY) {
        for (const view of views) {
          const box = view.stage.host.getBoundingClientRect(), point = { x: clientX - box.left, y: clientY - box.top };
          if (point.x >= 0 && point.y >= 0 && point.x < box.width && point.y < box.height) return view.cellAt(point);
        }
        return null;
      },
      pointOf(name, ...at) {
        const view = find(name), box = view.stage.host.getBoundingClientRect(), point = view.pointOf(...at);
        return { x: box.left + point.x, y: box.top + point.y };
      },
    }),
  });
  performance.mark("liqsql-first-picture");
  root.dataset.ready = "true";
}

async function start() {
  const main = document.getElementById("liqsql");
  if (typeof DecompressionStream === "undefined") {
    main.append(element("p", { className: "message", textContent: "This page needs a browser of 2023 or later: the data in it is compressed." }));
    return;
  }
  if (views.length > 1) {
    document.body.classList.add("several");
    main.append(navigation());
  }
  views[0].heading.append(themeButton());
  main.append(...views.map((view) => view.root));
  await Promise.all(views.map((view) => view.prepare()));
  for (const view of views) {
    view.stage.measure();
    view.stage.paintNow();
  }
  publish();
}

start().catch((error) => {
  console.error(error);
  document.getElementById("liqsql").append(element("p", { className: "message", textContent: `The data of this page cannot be read: ${error.message}` }));
});
