// Charts with a line or a point per trial.

// Returns the curve of a trial as {x, y}; null if the page or the trial has none.
function curveOf(index, metric) {
  const curve = DATA.curves[index];
  const column = curve?.[metric];
  if (column === undefined) return null;
  const count = curve.epochs?.length ?? curveLength(curve, TRIALS[index]);
  const x = curve.epochs ?? Array.from({ length: count }, (_, at) => at + 1);
  return { x, y: Array.isArray(column) ? column : x.map(() => column) };
}

function curveLength(curve, trial) {
  const column = Object.values(curve).find(Array.isArray);
  return column ? column.length : trial.epochs ?? 0;
}

CHARTS["learning-curves"] = (host) => {
  const chosen = { metric: DATA.metrics[0], colouring: "metric", scale: "linear" };
  const colourings = [["metric", `best ${DATA.metric}`], ["state", "state"]];
  const missing = DATA.curves.filter((curve) => curve === null).length;
  const left = missing ? ` The page has no curves of the ${missing} worst trials.` : "";
  const rungs = DATA.rungs.length
    ? " Dotted lines mark the epochs at which the scheduler compares trials."
    : "";
  const plot = {};
  const choose = (name) => (value) => {
    chosen[name] = value;
    plot.of.update();
  };
  host.append(
    note(`One line per trial; a click opens the trial.${rungs}${left}`),
    make(
      "div",
      { class: "choices" },
      chooser("metric", DATA.metrics.map((name) => [name, name]), choose("metric")),
      chooser("colour by", colourings, choose("colouring")),
      chooser("scale", [["linear", "linear"], ["log", "log"]], choose("scale")),
    ),
  );
  plot.of = new Plot(host, () => curvesFigure(chosen), 460);
};

function curvesFigure({ metric, colouring, scale }) {
  const trials = view.visible
    .map((index) => ({ index, ...curveOf(index, metric) }))
    .filter((trial) => trial.x);
  const groups = groupByColour(trials, colouring);
  const traces = lines(groups, { showlegend: colouring === "state" });
  const marked = new Map([[0, "best"], [view.open, "open"]]);
  for (const [index, kind] of marked) {
    const own = trials.filter((trial) => trial.index === index);
    const colour = kind === "open" ? themeColour("text") : scaleColour(1);
    const line = { color: colour, width: 3 };
    if (own.length) traces.push(...lines([{ colour, name: kind, trials: own }], { line, opacity: 1, showlegend: false }));
  }
  const isLog = scale === "log";
  const range = isLog ? undefined : axisRange(trials.flatMap(({ y }) => y));
  const shapes = DATA.rungs.map((epoch) => ({
    type: "line",
    yref: "paper",
    x0: epoch,
    x1: epoch,
    y0: 0,
    y1: 1,
    line: { dash: "dot", width: 1, color: themeColour("muted") },
  }));
  if (colouring === "metric" && trials.length) traces.push(colourBar());
  const y = axis(metric, isLog ? { type: "log" } : { range });
  const more = { shapes, showlegend: colouring === "state", uirevision: `${metric} ${scale}` };
  return { data: traces, layout: layoutOf(countAxis("epoch", lastEpoch(trials)), y, more) };
}

function lastEpoch(trials) {
  return trials.reduce((last, { x }) => Math.max(last, x[x.length - 1] ?? 0), 0);
}

// Returns a trace without points that shows what the colours mean.
function colourBar() {
  const marker = { ...metricMarker([]), color: [METRIC_ENDS[0]], size: 0.001 };
  return { type: "scatter", mode: "markers", x: [null], y: [null], marker, hoverinfo: "skip", showlegend: false };
}

CHARTS["best-so-far"] = (host) => {
  const chosen = { order: "number" };
  const plot = {};
  const orders = [["number", "trials as they were created"], ["time", "time when trials ended"]];
  const change = (value) => {
    chosen.order = value;
    plot.of.update();
  };
  host.append(
    note(`A point is a trial's ${DATA.metric} at its best epoch; the line is the best so far.`),
    make("div", { class: "choices" }, chooser("order", orders, change)),
  );
  plot.of = new Plot(host, () => bestFigure(chosen.order), 380);
};

function bestFigure(order) {
  const isTime = order === "time";
  const [start, unit, scale] = timeAxis();
  const position = ([trial]) => (isTime ? (endOf(trial) - start) / scale : trial.number);
  const pairs = scoredTrials().filter((pair) => isNumber(position(pair)));
  pairs.sort((a, b) => position(a) - position(b));
  const keep = DATA.mode === "max" ? Math.max : Math.min;
  let best = null; // the pair of the best trial so far
  const soFar = pairs.map((pair) => {
    if (best === null || keep(best[0].best, pair[0].best) !== best[0].best) best = pair;
    return best;
  });
  const line = {
    type: "scatter",
    mode: "lines",
    x: pairs.map(position),
    y: soFar.map(([trial]) => trial.best),
    text: soFar.map(([trial]) => hoverText(trial)),
    customdata: soFar.map(([, index]) => index),
    line: { color: scaleColour(1), width: 2.5, shape: "hv" },
    name: "best so far",
    hovertemplate: "best so far: %{text}<extra></extra>",
  };
  const traces = pointsByState(pairs, position, ([trial]) => trial.best);
  const title = isTime ? `${unit} since the sweep's start` : "number of the trial";
  const y = axis(DATA.metric, { range: axisRange(pairs.map(([trial]) => trial.best)) });
  return { data: [...traces, line], layout: layoutOf(axis(title), y, { showlegend: true, uirevision: order }) };
}

function endOf(trial) {
  return trial.ended ?? (isNumber(trial.started) ? trial.started + (trial.seconds ?? 0) : null);
}

// Returns the sweep's start in seconds, and the unit of its time axes with its seconds.
function timeAxis() {
  const starts = TRIALS.map((trial) => trial.started).filter(isNumber);
  const ends = TRIALS.map(endOf).filter(isNumber);
  const start = starts.reduce((a, b) => Math.min(a, b), Infinity);
  const length = ends.reduce((a, b) => Math.max(a, b), -Infinity) - start;
  if (length > 3 * 86400) return [start, "days", 86400];
  if (length > 2 * 3600) return [start, "hours", 3600];
  return length > 300 ? [start, "minutes", 60] : [start, "seconds", 1];
}

CHARTS.timeline = (host) => {
  host.append(note("From the start to the end of each trial, in order of their starts."));
  const height = Math.max(260, Math.min(900, 140 + 8 * TRIALS.length));
  new Plot(host, () => timelineFigure(height - 100), height);
};

function timelineFigure(space) {
  const [start, unit, scale] = timeAxis();
  const started = view.visible
    .filter((index) => isNumber(TRIALS[index].started))
    .sort((a, b) => TRIALS[a].started - TRIALS[b].started);
  const trials = started.map((index, row) => {
    const { started: from } = TRIALS[index];
    const ends = [from, endOf(TRIALS[index])];
    return { index, x: ends.map((time) => (time - start) / scale), y: [row, row] };
  });
  const width = Math.max(1.5, Math.min(8, (0.8 * space) / (trials.length + 1)));
  const traces = lines(groupByColour(trials, "state"), { hovertemplate: "%{text}<br>%{x:.4g} " + unit + "<extra></extra>" });
  for (const trace of traces) {
    trace.line.width = width;
    Object.assign(trace, { mode: "lines+markers", opacity: 0.9, marker: { size: width, symbol: "square" } });
  }
  const y = axis("trials", { showticklabels: false, autorange: "reversed", showgrid: false });
  const x = axis(`${unit} since the sweep's start`);
  return { data: traces, layout: layoutOf(x, y, { showlegend: true }) };
}

// ----------------------------------------------------------------------------- parameters

// The horizontal or vertical axis of a key: places of its values, and the keys of the layout.
class KeyAxis {
  constructor(index) {
    this.index = index;
    const values = TRIALS.map((trial) => trial.values[index]).filter((value) => value !== null);
    this.categories = categoriesOf(values, DATA.keys[index].choices);
    this.isNumeric = this.categories === null;
    this.isLog = this.isNumeric && DATA.keys[index].log && values.every((value) => value > 0);
    const low = this.isLog ? values.reduce((a, b) => Math.min(a, b), Infinity) : 0;
    this.isWide = this.isLog && values.some((value) => value > 100 * low);
  }

  // Returns the place of a trial; categories are spread a little, so that points stay apart.
  place(trial) {
    const value = trial.values[this.index];
    if (value === null || this.isNumeric) return value;
    return this.categories.indexOf(String(value)) + (((trial.number * 37) % 41) / 41 - 0.5) * 0.35;
  }

  layout() {
    const title = DATA.keys[this.index].key;
    if (this.isNumeric) {
      return axis(title, { ...(this.isLog && { type: "log" }), ...(this.isWide && { dtick: 1 }) });
    }
    const ticktext = this.categories.map((text) => plain(shorten(text, 18)));
    return axis(title, { tickvals: [...this.categories.keys()], ticktext, range: [-0.6, this.categories.length - 0.4] });
  }
}

CHARTS.parameters = (host) => {
  host.append(note(`${DATA.metric} at the best epoch against each parameter, coloured by state.`));
  const grid = make("div", { class: "multiples" });
  host.append(grid);
  DATA.keys.forEach((_, index) => {
    const cell = make("div");
    grid.append(cell);
    const keyAxis = new KeyAxis(index);
    new Plot(cell, () => parameterFigure(keyAxis), 280);
  });
};

function parameterFigure(keyAxis) {
  const pairs = ownTrials().filter(([trial]) => trial.values[keyAxis.index] !== null);
  const traces = pointsByState(pairs, ([trial]) => keyAxis.place(trial), ([trial]) => trial.own);
  for (const trace of traces) trace.hovertemplate = hoverWithValue(trace, keyAxis.index);
  const y = axis(DATA.metric, { range: axisRange(pairs.map(([trial]) => trial.own)) });
  return { data: traces, layout: layoutOf(keyAxis.layout(), y) };
}

// Returns templates that add the value of a key to the text of each point.
function hoverWithValue(trace, key) {
  return trace.customdata.map((index) => {
    const value = plain(formatValue(TRIALS[index].values[key])).replace(/%/g, "&#37;");
    return `%{text}<br>${plain(KEY_NAMES[key])}: ${value}<extra></extra>`;
  });
}

CHARTS.pairs = (host) => {
  const axes = DATA.keys.map((_, index) => new KeyAxis(index));
  const chosen = { x: 0, y: 1 };
  const plot = {};
  const names = DATA.keys.map(({ key }, index) => [index, key]);
  const choose = (name) => (value) => {
    chosen[name] = Number(value);
    plot.of.update();
  };
  const vertical = chooser("vertical", names, choose("y"));
  vertical.querySelector("select").value = "1";
  host.append(
    note(`Each trial by two of its values, coloured by its best ${DATA.metric}.`),
    make("div", { class: "choices" }, chooser("horizontal", names, choose("x")), vertical),
  );
  plot.of = new Plot(host, () => pairFigure(axes[chosen.x], axes[chosen.y]), 440);
};

function pairFigure(x, y) {
  const pairs = ownTrials()
    .filter(([trial]) => trial.values[x.index] !== null && trial.values[y.index] !== null)
    .reverse();
  const place = (keyAxis) => pairs.map(([trial]) => keyAxis.place(trial));
  const trace = points(pairs, place(x), place(y), { marker: metricMarker(pairs) });
  trace.text = pairs.map(([trial]) => {
    const values = [x, y].map(({ index }) => `${KEY_NAMES[index]}: ${formatValue(trial.values[index])}`);
    return `${hoverText(trial)}<br>${plain(values.join(", "))}`;
  });
  return { data: [trace], layout: layoutOf(x.layout(), y.layout(), { uirevision: `${x.index} ${y.index}` }) };
}
