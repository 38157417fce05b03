// Parallel coordinates: one line per trial, and brushes on the axes that filter all of the page.
//
// The lines are on a canvas, so that a thousand of them follow a brush; axes and brushes are SVG.
// A place on an axis is between 0 at its lower and 1 at its upper end.

const MAX_AXES = 10;
const AXIS_SPACE = 84; // pixels between two axes at least; a narrow window scrolls
const PLOT = { top: 46, bottom: 20, left: 64, right: 64, height: 400 };
const MISSING_PLACE = 0; // of trials without the key; the values are above
const LOWEST_WITH_MISSING = 0.12;
const SVG = "http://www.w3.org/2000/svg";

function svg(tag, attributes = {}, text = null) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  if (text !== null) element.textContent = text;
  return element;
}

// One axis: a key of the space, or the metric.
class Axis {
  constructor(name, label, read, { log = false, choices = null } = {}) {
    this.name = name;
    this.label = label;
    this.read = read;
    const values = TRIALS.filter((trial) => isNumber(trial.own)).map(read);
    const present = values.filter((value) => value !== null && value !== undefined);
    this.lacks = present.length < values.length;
    this.floor = this.lacks ? LOWEST_WITH_MISSING : 0;
    this.count = new Set(present.map(String)).size + this.lacks;
    this.categories = categoriesOf(present, choices);
    this.isNumeric = this.categories === null;
    this.isLog = this.isNumeric && log && present.every((value) => value > 0);
    if (this.isNumeric) {
      const scaled = present.map((value) => this.scale(value));
      this.low = scaled.reduce((a, b) => Math.min(a, b), Infinity);
      this.high = scaled.reduce((a, b) => Math.max(a, b), -Infinity);
    }
  }

  scale(value) {
    return this.isLog ? Math.log10(value) : value;
  }

  // Returns the place of a value.
  place(value) {
    if (value === null || value === undefined) return MISSING_PLACE;
    let share = 0.5;
    if (this.categories) {
      const last = this.categories.length - 1;
      if (last > 0) share = this.categories.indexOf(String(value)) / last;
    } else if (this.high > this.low) {
      share = (this.scale(value) - this.low) / (this.high - this.low);
    }
    return this.floor + share * (1 - this.floor);
  }

  // Returns the number at a place of an axis of numbers.
  valueAt(place) {
    const share = Math.min(1, Math.max(0, (place - this.floor) / (1 - this.floor)));
    const scaled = this.low + share * (this.high - this.low);
    return this.isLog ? 10 ** scaled : scaled;
  }

  ticks() {
    const missing = this.lacks ? [[MISSING_PLACE, "no value"]] : [];
    if (this.categories) {
      const step = Math.ceil(this.categories.length / 14);
      const some = this.categories.filter((_, index) => index % step === 0);
      return [...missing, ...some.map((text) => [this.place(text), shorten(text, 12)])];
    }
    if (!(this.high > this.low)) return [...missing, [this.place(null) || 0.5, formatValue(this.valueAt(0.5))]];
    const numbers = this.isLog ? logTicks(this.low, this.high) : linearTicks(this.low, this.high);
    return [...missing, ...numbers.map((value) => [this.place(value), formatValue(value)])];
  }
}

function linearTicks(low, high) {
  const raw = (high - low) / 5;
  const scale = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * scale).find((size) => size >= raw * 0.999);
  const ticks = [];
  for (let number = Math.ceil(low / step); number * step <= high * (1 + 1e-12); number += 1) {
    ticks.push(Number((number * step).toPrecision(6)));
  }
  return ticks;
}

// Returns powers of ten, or round numbers between them where there are fewer than three.
function logTicks(low, high) {
  const factors = high - low < 2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const factor of factors) {
      const value = Number((factor * 10 ** power).toPrecision(6));
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) ticks.push(value);
    }
  }
  return ticks;
}

// The axes of the chart: keys that differ between trials, and the metric last.
const KEY_AXES = DATA.keys
  .map((key, index) => new Axis(key.key, KEY_NAMES[index], (trial) => trial.values[index], key))
  .filter((item) => item.count > 1);
const AXES = [
  ...KEY_AXES.slice(0, MAX_AXES - 1),
  new Axis(DATA.metric, DATA.metric, (trial) => trial.own),
];

// Returns whether a trial lies in every brush.
function isInBrushes(trial) {
  if (!view.brushes.size) return true;
  if (!isNumber(trial.own)) return false;
  return AXES.every((item) => {
    const brush = view.brushes.get(item.name);
    if (!brush) return true;
    const place = item.place(item.read(trial));
    return place >= brush[0] && place <= brush[1];
  });
}

class Coordinates {
  constructor(host) {
    this.drawn = TRIALS.map((trial, index) => ({ index, trial }))
      .filter(({ trial }) => isNumber(trial.own))
      .reverse(); // the best are drawn last
    for (const line of this.drawn) {
      line.places = AXES.map((item) => item.place(item.read(line.trial)));
      line.colour = scaleColour(goodness(line.trial.own));
    }
    this.canvas = make("canvas", { class: "lines" });
    this.overlay = svg("svg", { class: "axes" });
    this.tip = make("div", { class: "tip", hidden: true });
    this.area = make("div", { class: "coordinates" }, this.canvas, this.overlay, this.tip);
    host.append(make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Parallel coordinates" }, this.area));
    this.area.addEventListener("pointermove", (event) => this.point(event));
    this.area.addEventListener("pointerleave", () => this.leave());
    this.area.addEventListener("click", (event) => this.openLine(event));
    new ResizeObserver(() => this.resize()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    onSelection(() => this.update());
    this.host = host;
    this.resize();
  }

  resize() {
    const width = Math.max(this.host.clientWidth, PLOT.left + PLOT.right + AXIS_SPACE * (AXES.length - 1));
    if (!this.host.clientWidth || width === this.width) return;
    this.width = width;
    const ratio = window.devicePixelRatio || 1;
    Object.assign(this.canvas, { width: width * ratio, height: PLOT.height * ratio });
    this.area.style.width = `${width}px`;
    this.area.style.height = `${PLOT.height}px`;
    this.canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    this.overlay.setAttribute("width", width);
    this.overlay.setAttribute("height", PLOT.height);
    this.buildAxes();
    this.update();
  }

  x(index) {
    return PLOT.left + (index * (this.width - PLOT.left - PLOT.right)) / Math.max(1, AXES.length - 1);
  }

  y(place) {
    return PLOT.height - PLOT.bottom - place * (PLOT.height - PLOT.top - PLOT.bottom);
  }

  placeAt(y) {
    const place = (PLOT.height - PLOT.bottom - y) / (PLOT.height - PLOT.top - PLOT.bottom);
    return Math.min(1.02, Math.max(-0.02, place));
  }

  buildAxes() {
    this.brushes = AXES.map((item, index) => {
      const group = svg("g", { transform: `translate(${this.x(index)},0)` });
      const label = svg("text", { class: "label", y: 14, "text-anchor": "middle" }, shorten(item.label, 15));
      label.append(svg("title", {}, item.name));
      group.append(label, svg("line", { class: "axis", y1: this.y(1), y2: this.y(0) }));
      for (const [place, text] of item.ticks()) {
        group.append(svg("line", { class: "axis", x2: -4, y1: this.y(place), y2: this.y(place) }));
        const side = index === AXES.length - 1 ? 1 : -1; // the last axis has its numbers outside
        const anchor = side > 0 ? "start" : "end";
        group.append(svg("text", { x: 7 * side, y: this.y(place) + 4, "text-anchor": anchor }, text));
      }
      const strip = svg("rect", { class: "strip", x: -14, width: 28, y: this.y(1.02), height: this.y(-0.02) - this.y(1.02) });
      const brush = svg("rect", { class: "brush", x: -9, width: 18, rx: 2 });
      const handle = svg("g", { class: "handle", tabindex: 0, role: "slider", "data-axis": item.name });
      handle.append(strip, brush);
      this.listen(handle, item);
      group.append(handle);
      this.overlay.append(group);
      return { item, brush, handle, group };
    });
    while (this.overlay.children.length > AXES.length) this.overlay.firstChild.remove();
  }

  // A drag along an axis brushes it; a click takes the brush back; keys move it.
  listen(handle, item) {
    let start = null;
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      start = this.placeAt(this.offset(event).y);
    });
    handle.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const end = this.placeAt(this.offset(event).y);
      if (Math.abs(end - start) > 0.01) this.setBrush(item, [Math.min(start, end), Math.max(start, end)]);
    });
    handle.addEventListener("pointerup", (event) => {
      const end = this.placeAt(this.offset(event).y);
      if (start !== null && Math.abs(end - start) <= 0.01) this.setBrush(item, null);
      start = null;
    });
    handle.addEventListener("click", (event) => event.stopPropagation());
    handle.addEventListener("keydown", (event) => this.key(event, item));
  }

  key(event, item) {
    const step = { ArrowUp: 0.05, ArrowDown: -0.05 }[event.key];
    const brush = view.brushes.get(item.name);
    if (event.key === "Escape" || event.key === "Delete") this.setBrush(item, null);
    else if (event.key === "Enter" && !brush) this.setBrush(item, [0.75, 1.02]);
    else if (step && brush) {
      const low = Math.max(-0.02, brush[0] + step);
      const high = event.shiftKey ? brush[1] : Math.min(1.02, brush[1] + step);
      if (low < high) this.setBrush(item, [low, high]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  setBrush(item, brush) {
    if (brush) view.brushes.set(item.name, brush);
    else view.brushes.delete(item.name);
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      applyFilters();
    });
  }

  update() {
    for (const { item, brush, handle } of this.brushes ?? []) {
      const range = view.brushes.get(item.name);
      brush.setAttribute("y", range ? this.y(range[1]) : 0);
      brush.setAttribute("height", range ? this.y(range[0]) - this.y(range[1]) : 0);
      handle.setAttribute("aria-label", this.describe(item, range));
      handle.setAttribute("aria-valuenow", range ? range[0].toFixed(2) : 0);
    }
    this.draw();
  }

  describe(item, range) {
    if (!range) return `${item.name}: no brush; Enter selects the upper quarter`;
    if (item.categories) return `${item.name}: brushed`;
    return `${item.name}: ${range.map((place) => formatValue(item.valueAt(place))).join(" to ")}`;
  }

  draw() {
    const context = this.canvas.getContext("2d");
    context.clearRect(0, 0, this.width, PLOT.height);
    const shown = this.drawn.filter(({ index }) => view.isVisible.has(index));
    const hidden = this.drawn.filter(({ index }) => !view.isVisible.has(index));
    const muted = themeColour("muted");
    context.lineWidth = 1;
    context.globalAlpha = 0.1;
    for (const line of hidden) this.stroke(context, line, muted);
    context.lineWidth = 1.3;
    context.globalAlpha = shown.length > 200 ? 0.4 : 0.7;
    for (const line of shown) this.stroke(context, line, line.colour);
    context.globalAlpha = 1;
    context.lineWidth = 3;
    const marked = this.drawn.filter(({ index }) => index === view.open || index === this.near);
    for (const line of marked) this.stroke(context, line, themeColour("text"));
  }

  stroke(context, line, colour) {
    context.strokeStyle = colour;
    context.beginPath();
    line.places.forEach((place, index) => context.lineTo(this.x(index), this.y(place)));
    context.stroke();
  }

  offset(event) {
    const box = this.area.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // Returns the position of the trial whose visible line is nearest; null if none is near.
  nearest({ x, y }) {
    const space = this.x(1) - this.x(0);
    const left = Math.min(AXES.length - 2, Math.max(0, Math.floor((x - PLOT.left) / space)));
    const share = (x - this.x(left)) / space;
    if (!(share >= -0.02 && share <= 1.02)) return null;
    let found = null;
    let least = 8;
    for (const { index, places } of this.drawn) {
      const at = this.y(places[left] + share * (places[left + 1] - places[left]));
      const distance = Math.abs(at - y);
      if (distance <= least && view.isVisible.has(index)) [found, least] = [index, distance];
    }
    return found;
  }

  point(event) {
    const at = this.offset(event);
    const near = event.buttons ? null : this.nearest(at);
    if (near !== null) {
      this.tip.textContent = `${TRIALS[near].id} (${TRIALS[near].state}), ${DATA.metric} ${formatMetric(TRIALS[near].own)}`;
      this.tip.style.left = `${Math.min(at.x + 12, this.width - 260)}px`;
      this.tip.style.top = `${at.y + 14}px`;
    }
    this.tip.hidden = near === null;
    this.area.classList.toggle("near", near !== null);
    if (near !== this.near) {
      this.near = near;
      this.draw();
    }
  }

  leave() {
    this.tip.hidden = true;
    this.near = null;
    this.draw();
  }

  openLine(event) {
    const near = this.nearest(this.offset(event));
    if (near !== null) openTrial(near);
  }
}

CHARTS["parallel-coordinates"] = (host) => {
  const left = KEY_AXES.slice(MAX_AXES - 1).map(({ name }) => name);
  const more = left.length ? ` Left out: ${left.join(", ")}.` : "";
  host.append(
    note(
      `One line per trial, coloured by its best ${DATA.metric}. Drag along an axis to select trials ` +
        "in the table and in all charts; a click on the axis takes it back." +
        more,
    ),
  );
  new Coordinates(host);
};
