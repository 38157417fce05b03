// Charts about several metrics, repeats, population based training, and early stops.

CHARTS["pareto-front"] = (host) => {
  const names = DATA.objectives.map(({ name, mode }, index) => [index, `${mode} ${name}`]);
  const chosen = { x: 1, y: 0 };
  const plot = {};
  const choose = (name) => (value) => {
    chosen[name] = Number(value);
    plot.of.update();
  };
  const all = DATA.objectives.map(({ name }) => name).join(", ");
  host.append(
    note(`No other trial is better than one of the front in all of ${all}. All are read at the epoch of the trial's own best ${DATA.metric}.`),
  );
  if (names.length > 2) {
    const horizontal = chooser("horizontal", names, choose("x"));
    horizontal.querySelector("select").value = "1";
    host.append(make("div", { class: "choices" }, horizontal, chooser("vertical", names, choose("y"))));
  }
  plot.of = new Plot(host, () => frontFigure(chosen.x, chosen.y), 440);
};

function frontFigure(x, y) {
  const isFront = new Set(DATA.front);
  const pairs = view.visible
    .map((index) => [TRIALS[index], index])
    .filter(([trial]) => trial.scores?.every(isNumber));
  const part = (inFront) => pairs.filter(([, index]) => isFront.has(index) === inFront);
  const trace = (own, more) => {
    const made = points(own, own.map(([trial]) => trial.scores[x]), own.map(([trial]) => trial.scores[y]), more);
    const describe = (trial) => DATA.objectives.map(({ name }, at) => `${name} ${formatMetric(trial.scores[at])}`);
    made.text = own.map(([trial]) => `${plain(trial.id)} (${trial.state})<br>${describe(trial).map(plain).join("<br>")}`);
    return made;
  };
  const front = part(true).sort(([a], [b]) => a.scores[x] - b.scores[x]);
  const traces = [
    trace(part(false), { name: "others", marker: { color: STATE_COLOURS.paused, size: 7, opacity: 0.45 } }),
    trace(front, {
      name: "front",
      mode: DATA.objectives.length === 2 ? "lines+markers" : "markers",
      // Between two points of the front a trial reaches what the worse of them does.
      line: { color: scaleColour(1), width: 2, shape: DATA.objectives[x].mode === "min" ? "hv" : "vh" },
      marker: { color: scaleColour(1), size: 10 },
    }),
  ];
  const title = (index) => `${DATA.objectives[index].name} (${DATA.objectives[index].mode})`;
  const more = { showlegend: true, uirevision: `${x} ${y}` };
  return { data: traces, layout: layoutOf(axis(title(x)), axis(title(y)), more) };
}

const MAX_CONFIGURATIONS = 40;

CHARTS.configurations = (host) => {
  const count = DATA.configurations.length;
  const shown = count > MAX_CONFIGURATIONS ? ` The best ${MAX_CONFIGURATIONS} of ${count}.` : "";
  const finals = DATA.configurations.some(({ final }) => final)
    ? " Where there are final trials (*), only these count."
    : "";
  host.append(
    note(`Points are trials, bars are mean and standard deviation of a configuration.${finals}${shown}`),
  );
  new Plot(host, configurationsFigure, 380);
};

function configurationsFigure() {
  const shown = DATA.configurations.slice(0, MAX_CONFIGURATIONS);
  const places = [];
  const pairs = [];
  shown.forEach(({ trials }, place) => {
    for (const index of trials) {
      places.push(place);
      pairs.push([TRIALS[index], index]);
    }
  });
  const dots = points(pairs, places, pairs.map(([trial]) => trial.best), {
    name: "trial",
    marker: { color: STATE_COLOURS.running, size: 7, opacity: 0.7 },
  });
  const means = {
    type: "scatter",
    mode: "markers",
    x: [...shown.keys()],
    y: shown.map(({ mean }) => mean),
    error_y: { type: "data", array: shown.map(({ sd }) => sd ?? 0), color: scaleColour(1), width: 6 },
    marker: { color: scaleColour(1), size: 10, symbol: "line-ew-open", line: { width: 3 } },
    name: "mean and sd",
    text: shown.map(({ mean, sd, trials }) => {
      const spread = sd === null ? "" : ` ± ${formatMetric(sd)}`;
      return `mean ${formatMetric(mean)}${spread}<br>${trials.map((index) => plain(TRIALS[index].id)).join(", ")}`;
    }),
    hovertemplate: "%{text}<extra></extra>",
  };
  const ticktext = shown.map(({ label, final }) => `${plain(label)}${final ? "*" : ""}`);
  const x = axis("configuration, best first", {
    tickvals: [...shown.keys()],
    ticktext,
    range: [-0.6, shown.length - 0.4],
  });
  return { data: [dots, means], layout: layoutOf(x, axis(DATA.metric), { showlegend: true }) };
}

CHARTS.schedule = (host) => {
  const keys = Object.keys(DATA.schedule);
  const chosen = { key: keys[0] };
  const plot = {};
  const change = (value) => {
    chosen.key = value;
    plot.of.update();
  };
  host.append(
    note(`Values by epoch; a step is a copy of a better trial with a changed value. Coloured by the trial's best ${DATA.metric}.`),
    make("div", { class: "choices" }, chooser("value of", keys.map((key) => [key, key]), change)),
  );
  plot.of = new Plot(host, () => scheduleFigure(chosen.key), 420);
};

function scheduleFigure(key) {
  const trials = view.visible
    .filter((index) => DATA.schedule[key][index].length)
    .map((index) => {
      const y = DATA.schedule[key][index];
      return { index, x: DATA.curves[index]?.epochs ?? y.map((_, at) => at + 1), y };
    });
  const values = trials.flatMap(({ y }) => y).filter((value) => value !== null);
  const isNumeric = values.every(isNumber);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  const high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  const isLog = isNumeric && low > 0 && high > 20 * low;
  if (!isNumeric) for (const trial of trials) trial.y = trial.y.map((value) => value === null ? null : plain(value));
  const traces = lines(groupByColour(trials, "metric"));
  for (const trace of traces) {
    trace.line.shape = "hv";
    if (!isNumeric) trace.hovertemplate = "%{text}<br>epoch %{x}: %{y}<extra></extra>";
  }
  const type = isLog ? "log" : isNumeric ? "linear" : "category";
  const y = axis(key, isLog && high > 100 * low ? { type, dtick: 1 } : { type });
  const layout = layoutOf(countAxis("epoch", lastEpoch(trials)), y, { uirevision: key });
  return { data: [...traces, colourBar()], layout };
}

CHARTS["stopped-trials"] = (host) => {
  host.append(note("Trials that trained each epoch, and those that were stopped after it. A click on a bar of stopped trials lists them."));
  new Plot(host, stoppedFigure, 340);
};

function stoppedFigure() {
  const trials = view.visible.map((index) => TRIALS[index]);
  const last = trials.reduce((most, trial) => Math.max(most, trial.epochs ?? 0), 0);
  const epochs = Array.from({ length: last }, (_, at) => at + 1);
  const stopped = epochs.map((epoch) =>
    trials.filter((trial) => trial.state === "stopped" && trial.epochs === epoch),
  );
  const list = (own) => {
    const ids = own.slice(0, 8).map((trial) => plain(trial.id)).join(", ");
    return own.length > 8 ? `${ids} and ${own.length - 8} more` : ids;
  };
  const bar = { type: "bar", x: epochs };
  const trained = epochs.map((epoch) => trials.filter((trial) => (trial.epochs ?? 0) >= epoch));
  const traces = [
    {
      ...bar,
      y: trained.map((own) => own.length),
      text: trained.map(list),
      textposition: "none",
      name: "trained this epoch",
      marker: { color: STATE_COLOURS.running, opacity: 0.3 },
      hovertemplate: "%{y} trained epoch %{x}<br>%{text}<extra></extra>",
    },
    {
      ...bar,
      y: stopped.map((own) => own.length || null),
      text: stopped.map(list),
      textposition: "none",
      customdata: epochs.map((epoch) => `state=stopped epochs=${epoch}`),
      name: "stopped after this epoch",
      marker: { color: STATE_COLOURS.stopped },
      hovertemplate: "%{y} stopped after epoch %{x}<br>%{text}<extra></extra>",
    },
  ];
  const more = { barmode: "overlay", bargap: 0.25, showlegend: true };
  return { data: traces, layout: layoutOf(countAxis("epoch", last), countAxis("trials", trials.length), more) };
}

// Draws the confusion matrix of many classes; the mouse over a cell names it.
function drawMatrix(host) {
  const { labels, rows } = DATA.matrices[Number(host.dataset.matrix)];
  const cell = Math.max(2, Math.floor(720 / rows.length));
  const size = cell * rows.length;
  const canvas = make("canvas", { width: size, height: size, role: "img", "aria-label": "Confusion matrix" });
  const text = make("p", { class: "count" }, "Point at a cell to read it.");
  const context = canvas.getContext("2d");
  context.fillStyle = STATE_COLOURS.running;
  const totals = rows.map((row) => Math.max(1, row.reduce((a, b) => a + b, 0)));
  rows.forEach((row, y) => {
    row.forEach((count, x) => {
      context.globalAlpha = count / totals[y];
      if (count) context.fillRect(x * cell, y * cell, cell, cell);
    });
  });
  canvas.addEventListener("pointermove", (event) => {
    const scale = rows.length / canvas.clientWidth;
    const [x, y] = [event.offsetX, event.offsetY].map((at) => Math.floor(at * scale));
    if (rows[y]?.[x] !== undefined) {
      const share = ((100 * rows[y][x]) / totals[y]).toFixed(1);
      text.textContent = `${labels[y]} as ${labels[x]}: ${countOf(rows[y][x], "image")}, ${share}%`;
    }
  });
  host.append(canvas, text);
}
