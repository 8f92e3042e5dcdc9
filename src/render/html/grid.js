/*
 * What the page was given: its grids unpacked, their cells as colours and as pixels. Follows color.rs and raster.rs.
 */

const data = JSON.parse(document.getElementById("liqsql-data").textContent);

/* ---- Packed grids ---- */

async function inflate(base64) {
  const binary = atob(base64);
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Byte planes back to numbers; all machines that run browsers are little endian. */
async function inflateNumbers(base64, Type) {
  const planes = await inflate(base64);
  const size = Type.BYTES_PER_ELEMENT, length = planes.length / size;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < size; plane++) {
    for (let index = 0, from = plane * length; index < length; index++) bytes[index * size + plane] = planes[from + index];
  }
  return new Type(bytes.buffer);
}

/* ---- Colours ---- */

const currentTheme = () => document.documentElement.dataset.theme;

/** Of each theme the 256 colours and the one for nothing, as pixels of an ImageData. */
const PAPERS = Object.fromEntries(Object.entries(data.papers).map(([theme, paper]) => {
  const channels = atob(paper.colors);
  const pixel = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
  const colors = new Uint32Array(256);
  for (let index = 0; index < 256; index++) {
    colors[index] = pixel(...[0, 1, 2].map((channel) => channels.charCodeAt(3 * index + channel)));
  }
  return [theme, { colors, nothing: pixel(...paper.nothing) }];
}));

const cssOfPixel = (pixel) => `rgb(${pixel & 255} ${pixel >> 8 & 255} ${pixel >> 16 & 255})`;

const SHAPES = {
  linear: { of: (share) => share, inverse: (position) => position },
  sqrt: { of: Math.sqrt, inverse: (position) => position * position },
  log: {
    of: (share) => Math.log(1 + share * data.logSpan) / Math.log(1 + data.logSpan),
    inverse: (position) => (Math.exp(position * Math.log(1 + data.logSpan)) - 1) / data.logSpan,
  },
};

/** Notional to a position on the colour scale between what is hidden and the brightest, on the paper of now. */
function colorScale(low, brightest, name) {
  const high = brightest > low ? brightest : low * 2 + Number.MIN_VALUE;
  const shape = SHAPES[name] ?? SHAPES.linear, paper = PAPERS[currentTheme()];
  return {
    low,
    high,
    pixel(value) {
      if (!(value > 0) || value < low) return paper.nothing;
      const share = Math.min((value - low) / (high - low), 1);
      return paper.colors[Math.round(shape.of(share) * 255)];
    },
    /** The colour of a position of 0 to 1. */
    at: (position) => paper.colors[Math.round(position * 255)],
    usd: (position) => low + shape.inverse(position) * (high - low),
  };
}

/* ---- Grids and pixels ---- */

/** Which cells fall on part `index` of those that begin at `low` and are `part` wide, as [first, one past the last]. */
function spanAt(origin, step, size, low, part, index) {
  const from = (low + part * index - origin) / step, to = from + part / step;
  const first = clamp(Math.ceil(from - 0.5), 0, size), end = clamp(Math.ceil(to - 0.5), 0, size);
  if (first < end) return [first, end];
  const middle = Math.floor((from + to) / 2);
  return middle >= 0 && middle < size ? [middle, middle + 1] : [0, 0];
}

/** All parts of `low..high`, those that repeat the one before only once: spans and, per part, which. */
function spansOf(origin, step, size, low, high, parts) {
  const part = (high - low) / parts;
  const spans = [], which = new Int32Array(parts);
  for (let index = 0; index < parts; index++) {
    const span = spanAt(origin, step, size, low, part, index);
    const last = spans[spans.length - 1];
    if (!last || last[0] !== span[0] || last[1] !== span[1]) spans.push(span);
    which[index] = spans.length - 1;
  }
  return { spans, which };
}

/** Paints the cells of a view into an image: the largest of those that share a pixel. */
function paintCells(image, frame, grid, view, scale) {
  const { width, height } = image;
  const rows = frame.price.count;
  const across = spansOf(frame.time.first, frame.time.step, frame.time.count, view.t0, view.t1, width);
  const along = spansOf(frame.price.low, frame.price.step, rows, view.p0, view.p1, height);
  const columns = across.spans.length, lines = along.spans.length;
  const colors = new Uint32Array(columns * lines);
  for (let x = 0; x < columns; x++) {
    const [first, end] = across.spans[x];
    let isPresent = false;
    for (let column = first; column < end; column++) isPresent ||= frame.isPresent[column] === 1;
    if (!isPresent) continue;
    for (let y = 0; y < lines; y++) {
      const [bottom, top] = along.spans[y];
      if (bottom === top) continue;
      let largest = 0;
      for (let column = first; column < end; column++) {
        for (let cell = column * rows + bottom, last = column * rows + top; cell < last; cell++) {
          if (grid[cell] > largest) largest = grid[cell];
        }
      }
      colors[y * columns + x] = scale.pixel(largest);
    }
  }
  const pixels = new Uint32Array(image.data.buffer);
  let previous = -1;
  for (let y = 0; y < height; y++) {
    const line = along.which[height - 1 - y];
    if (line === previous) {
      pixels.copyWithin(y * width, (y - 1) * width, y * width);
    } else {
      for (let x = 0, out = y * width, from = line * columns; x < width; x++) pixels[out + x] = colors[from + across.which[x]];
    }
    previous = line;
  }
}
