// The page's data and what all parts share. Text from files only ever becomes text, never HTML.
"use strict";

const DATA = JSON.parse(document.getElementById("data").textContent);
const TRIALS = DATA.trials; // best first
const STATES = ["finished", "stopped", "failed", "running", "paused", "pending"];
const STATE_COLOURS = {
  finished: "#2f9e6e",
  stopped: "#d9932b",
  failed: "#dc4c4c",
  running: "#4f7cd6",
  paused: "#8d99ae",
  pending: "#b3bcc9",
};
// Colours of a metric from worst to best; each can be seen on white and on black.
const METRIC_SCALE = [
  [0, "#8d99ae"],
  [0.5, "#4f7cd6"],
  [0.8, "#b04fb8"],
  [1, "#f0701e"],
];
const BUCKETS = 12; // colours of lines, so that one trace draws many trials

// ------------------------------------------------------------------------------ elements

// Returns an element; attributes that begin with "on" are listeners, others are set as text.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Returns a list of choices with a label.
function chooser(label, choices, change) {
  const options = choices.map(([value, text]) => make("option", { value }, text));
  const select = make("select", { onchange: () => change(select.value) }, ...options);
  return make("label", { class: "choice" }, `${label} `, select);
}

// Returns a text that Plotly shows as it is; it takes tags in a text for markup.
function plain(text) {
  return String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

function shorten(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}

// ------------------------------------------------------------------------------- numbers

// A value with as many digits as tell trials apart.
function formatValue(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}

// A metric, with four decimals, so that digits stand below each other.
function formatMetric(value) {
  if (typeof value !== "number") return "–";
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? value.toExponential(3) : value.toFixed(4);
}

function formatDuration(seconds) {
  if (typeof seconds !== "number") return "–";
  const units = [["s", 1, 100], ["min", 60, 100], ["h", 3600, 48], ["d", 86400, Infinity]];
  const [unit, scale] = units.find(([, size, limit]) => Math.round(seconds / size) < limit);
  const count = seconds / scale;
  const digits = scale > 1 && count < 9.95 ? 1 : 0;
  return `${count.toFixed(digits).replace(/\.0$/, "")} ${unit}`;
}

function formatSize(bytes) {
  const units = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]];
  const unit = units.find(([, size]) => bytes >= size);
  return unit ? `${(bytes / unit[1]).toFixed(1)} ${unit[0]}` : `${bytes} B`;
}

// The best metric of a trial, and whether the trial has inherited it with its weights.
function formatBest(trial) {
  return formatMetric(trial.best) + (trial.inherited ? " (inherited)" : "");
}

function countOf(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Returns the value below which a share of sorted numbers lies.
function quantile(sorted, share) {
  return sorted[Math.round(share * (sorted.length - 1))];
}

// Returns the ends of an axis; few values far outside, such as diverged losses, are left out.
function axisRange(values) {
  const sorted = values.filter(isNumber).sort((a, b) => a - b);
  if (!sorted.length) return undefined;
  let [low, high] = [sorted[0], sorted[sorted.length - 1]];
  const [innerLow, innerHigh] = [quantile(sorted, 0.02), quantile(sorted, 0.98)];
  const width = innerHigh - innerLow;
  if (width > 0 && high - low > 10 * width) {
    low = Math.max(low, innerLow - width / 4);
    high = Math.min(high, innerHigh + width / 4);
  }
  const space = 0.05 * (high - low) || 0.05 * Math.abs(high) || 1;
  return [low - space, high + space];
}

// ------------------------------------------------------------------------------- colours

// The metrics with the first and the last colour; the worst tenth shares a colour.
const METRIC_ENDS = (() => {
  const sorted = TRIALS.map((trial) => trial.best).filter(isNumber).sort((a, b) => a - b);
  if (!sorted.length) return [0, 1];
  const tenth = Math.floor(sorted.length / 10);
  const last = sorted.length - 1;
  return DATA.mode === "max" ? [sorted[tenth], sorted[last]] : [sorted[0], sorted[last - tenth]];
})();

// Returns how good a metric is: 0 for the worst, 1 for the best; null without one.
function goodness(value) {
  if (!isNumber(value)) return null;
  const [low, high] = METRIC_ENDS;
  const share = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 1;
  return DATA.mode === "max" || high <= low ? share : 1 - share;
}

// Returns the colour of a share, 0 for the worst and 1 for the best.
function scaleColour(share) {
  if (share === null) return METRIC_SCALE[0][1];
  const next = Math.max(1, METRIC_SCALE.findIndex(([end]) => share <= end));
  const [[start, first], [end, second]] = [METRIC_SCALE[next - 1], METRIC_SCALE[next]];
  const weight = (share - start) / (end - start);
  const parts = [1, 3, 5].map((at) => {
    const [a, b] = [first, second].map((colour) => parseInt(colour.slice(at, at + 2), 16));
    return Math.round(a + (b - a) * weight).toString(16).padStart(2, "0");
  });
  return `#${parts.join("")}`;
}

// Returns the group of lines of one colour that a trial belongs to.
function bucketOf(trial) {
  const share = goodness(trial.best);
  return share === null ? 0 : Math.min(BUCKETS - 1, Math.floor(share * BUCKETS));
}

const bucketColour = (bucket) => scaleColour(bucket / (BUCKETS - 1));

// Returns a colour of the style sheet, which depends on light and dark.
function themeColour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Returns the categories of a key in order, or null for a key of numbers; numbers of a short
// choice are categories, too.
function categoriesOf(values, choices) {
  const isNumeric = values.every(isNumber);
  if (isNumeric && !(choices && choices.length <= 12)) return null;
  const all = [...new Set([...(choices ?? []), ...values])];
  if (all.every(isNumber)) return all.sort((a, b) => a - b).map(String);
  const words = all.filter((value) => !isNumber(value));
  const numbers = all.filter(isNumber).sort((a, b) => a - b);
  return [...new Set([...numbers, ...words].map(String))];
}

// ----------------------------------------------------------------------------- selection

// What the user has chosen; `visible` has the positions of the trials that all filters pass.
const view = {
  text: "",
  states: new Set(),
  brushes: new Map(), // key of an axis -> [lowest, highest] place on it
  visible: TRIALS.map((_, index) => index),
  isVisible: new Set(TRIALS.keys()),
  open: null, // position of the trial whose details are shown
};
const listeners = [];

// Calls a function after every change of the selection.
function onSelection(listener) {
  listeners.push(listener);
}

function selectionChanged() {
  for (const listener of listeners) listener();
}

// Returns the text that a chart shows when the mouse is over a trial.
function hoverText(trial) {
  const best = isNumber(trial.best) ? `, best ${DATA.metric} ${formatBest(trial)}` : "";
  return plain(`${trial.id} (${trial.state}${best})`);
}

// Names of the keys: their last part, or the whole key where that is ambiguous.
const KEY_NAMES = DATA.keys.map(({ key }) => {
  const last = key.slice(key.lastIndexOf(".") + 1);
  const alike = DATA.keys.filter((other) => other.key.endsWith(`.${last}`) || other.key === last);
  return alike.length > 1 || last === "name" ? key : last;
});
