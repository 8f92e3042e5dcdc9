/*
 * How numbers, prices, money and instants are written, and the round values on axes: axis.rs in JavaScript.
 */

const SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
/** Of any number of values; a call with a hundred thousand arguments fails. */
const largest = (values, least) => values.reduce((most, value) => Math.max(most, value), least);

function decimal(value, decimals) {
  const [whole, fraction] = Math.abs(value).toFixed(decimals).split(".");
  const sign = value < 0 ? "-" : "";
  return sign + whole.replace(/\B(?=(\d{3})+(?!\d))/g, ",") + (fraction ? "." + fraction : "");
}

const count = (value) => decimal(value, 0);

function priceDecimals(price) {
  if (!(Number.isFinite(price) && price > 0)) return 0;
  for (let decimals = 0; decimals <= 12; decimals++) if (10 ** -decimals <= price * 1e-5) return decimals;
  return 12;
}

/** `$1.2M`; with more digits `$1.23M`. */
function usd(value, digits = 2) {
  const units = ["", "K", "M", "B", "T"];
  let scaled = Math.abs(value), unit = 0;
  while (scaled >= 999.5 && unit + 1 < units.length) { scaled /= 1000; unit++; }
  let decimals = 0;
  for (let places = digits - 1, limit = 9.95; places > 0; places--, limit *= 10) {
    if (scaled < limit && scaled !== Math.trunc(scaled)) { decimals = places; break; }
  }
  return `${value < 0 ? "-" : ""}$${scaled.toFixed(decimals)}${units[unit]}`;
}

function number(value) {
  if (value === 0 || !Number.isFinite(value)) return "0";
  const decimals = clamp(2 - Math.floor(Math.log10(Math.abs(value))), 0, 9);
  const text = decimal(value, decimals);
  const short = text.includes(".") ? text.replace(/0+$/, "").replace(/\.$/, "") : text;
  return short === "-0" ? "0" : short;
}

const percent = (fraction) => `${number(fraction * 100)} %`;
const signedPercent = (fraction) => (fraction > 0 ? "+" : "") + percent(fraction);
const marketPrice = (value) => decimal(value, priceDecimals(Math.abs(value)));

function withUnit(unit, value) {
  if (unit === "usd") return usd(value, 3);
  if (unit === "percent") return percent(value);
  return unit === "price" ? marketPrice(value) : number(value);
}

function instant(ms) {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return `${ms} ms`;
  const text = date.toISOString();
  const end = text.indexOf("T");
  return `${text.slice(0, end)} ${text.slice(end + 1, end + (date.getUTCSeconds() ? 9 : 6))}`;
}

const instants = (first, last) => (first === last ? instant(first) : `${instant(first)} … ${instant(last)}`);

/** The smallest 1, 2 or 5 × 10ⁿ that is at least `least`, as {step, decimals}: the decimals write its multiples. */
function roundStep(least) {
  if (!(Number.isFinite(least) && least > 0)) return { step: 1, decimals: 0 };
  const exponent = Math.floor(Math.log10(least));
  for (const power of [exponent, exponent + 1]) {
    for (const factor of [1, 2, 5]) {
      // Written and read back, for 1e-4 is not 10 ** -4.
      const step = Number(`${factor}e${power}`);
      if (step >= least * (1 - 1e-9)) return { step, decimals: clamp(-power, 0, 12) };
    }
  }
  return { step: 10 ** (exponent + 2), decimals: clamp(-exponent - 2, 0, 12) };
}

/** A round end for an axis that must hold a value. */
function roundEnd(value) {
  const unit = 10 ** Math.floor(Math.log10(value > 0 ? value : 1));
  return ([1, 1.5, 2, 3, 4, 5, 6, 8].find((factor) => factor * unit >= value) ?? 10) * unit;
}

function multiples(low, high, step) {
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  const values = [];
  for (let index = first; index <= last && values.length < 1000; index++) values.push(index * step);
  return values;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const TIME_STEPS = [
  SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, 7 * DAY, 14 * DAY,
];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 600];

function timeTicks(from, to, step) {
  const ticks = [];
  // Weeks begin on Monday; the epoch was a Thursday.
  const origin = step % (7 * DAY) === 0 ? 4 * DAY : 0;
  for (let tick = origin + Math.ceil((from - origin) / step) * step; tick <= to; tick += step) ticks.push(tick);
  return ticks;
}

function monthTicks(from, to, months) {
  const start = new Date(from);
  const ticks = [];
  let month = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / months) * months;
  for (let steps = 0; steps < 500; steps++, month += months) {
    const date = new Date(0);
    date.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    const ms = date.getTime();
    if (!(ms <= to)) break;
    if (ms >= from) ticks.push(ms);
  }
  return ticks;
}

function timeLabel(ms, isMonthly) {
  const date = new Date(ms);
  const pad = (value) => String(value).padStart(2, "0");
  if (ms % DAY !== 0) {
    const seconds = date.getUTCSeconds();
    return `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}${seconds ? ":" + pad(seconds) : ""}`;
  }
  if (date.getUTCMonth() === 0 && date.getUTCDate() === 1) return String(date.getUTCFullYear());
  return isMonthly ? MONTHS[date.getUTCMonth()] : `${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}`;
}

/** Labels `{at, text, isDate}` for an axis of `width` pixels, as dense as fits. */
function timeLabels(from, to, width, measure) {
  const candidates = [
    ...TIME_STEPS.map((step) => ({ ms: step, ticks: () => timeTicks(from, to, step), isMonthly: false })),
    ...MONTH_STEPS.map((step) => ({ ms: step * 28 * DAY, ticks: () => monthTicks(from, to, step), isMonthly: true })),
  ];
  for (const { ms, ticks, isMonthly } of candidates) {
    if ((to - from) / ms > width / 44) continue;
    const found = ticks();
    if (found.length === 0) continue;
    const hasDate = found.some((tick) => tick % DAY === 0);
    const labels = found.map((tick, index) => {
      const date = index === 0 && !hasDate ? timeLabel(Math.floor(tick / DAY) * DAY, false) + " " : "";
      return { at: tick, text: date + timeLabel(tick, isMonthly), isDate: tick % DAY === 0 };
    });
    // Labels at the ends are moved inwards.
    const halves = labels.map((label) => measure(label.text) / 2);
    const pixels = labels.map((label, index) => clamp((label.at - from) / (to - from) * width, halves[index], width - halves[index]));
    const fits = labels.every((_, index) => index === 0 || pixels[index] - pixels[index - 1] >= halves[index] + halves[index - 1] + 10);
    if (fits) return labels;
  }
  return [{ at: from, text: instant(from), isDate: true }];
}
