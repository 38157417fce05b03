// Charts that Plotly draws: when they come into view, in the colours of light or dark.

const PLOT_CONFIG = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  plotlyServerURL: "",
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};
const CHARTS = {}; // name of a part of the page -> function that fills its place

function axis(title, more = {}) {
  return {
    title: { text: plain(title), standoff: 8 },
    automargin: true,
    zeroline: false,
    gridcolor: themeColour("grid"),
    linecolor: themeColour("line"),
    exponentformat: "power",
    ...more,
  };
}

// Returns an axis of whole numbers, such as epochs, whose largest one is known.
function countAxis(title, largest, more = {}) {
  return axis(title, largest <= 12 ? { dtick: 1, ...more } : more);
}

// Returns the layout of a chart.
function layoutOf(x, y, more = {}) {
  const text = themeColour("text");
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: text },
    margin: { l: 56, r: 16, t: 12, b: 44 },
    hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom", // a finger scrolls the page
    hoverlabel: { bgcolor: themeColour("panel"), bordercolor: themeColour("muted"), font: { color: text } },
    showlegend: false,
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: themeColour("muted"), activecolor: text },
    xaxis: x,
    yaxis: y,
    uirevision: "kept",
    ...more,
  };
}

// A place for one figure; it is drawn when it is first seen, and again when it is out of date.
class Plot {
  constructor(host, figure, height) {
    this.figure = figure;
    this.isDue = true;
    this.isSeen = false;
    this.element = make("div", { class: "plot", style: `height:${height}px` });
    host.append(this.element);
    onSelection(() => this.update());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.update());
    const observer = new IntersectionObserver(
      (entries) => {
        this.isSeen = entries.at(-1).isIntersecting; // the newest of those since the last call
        if (this.isSeen && this.isDue) this.draw();
      },
      { rootMargin: "300px" },
    );
    observer.observe(this.element);
  }

  // Draws the figure again, now or when it is next seen.
  update() {
    this.isDue = true;
    if (this.isSeen && !this.frame) {
      this.frame = requestAnimationFrame(() => {
        this.frame = null;
        this.draw();
      });
    }
  }

  draw() {
    const isFirst = !this.element.classList.contains("js-plotly-plot");
    const { data, layout } = this.figure();
    this.isDue = false;
    Plotly.react(this.element, data, layout, PLOT_CONFIG);
    if (isFirst) this.element.on("plotly_click", (event) => this.clicked(event.points[0]));
  }

  clicked(point) {
    if (Number.isInteger(point.customdata)) openTrial(point.customdata);
    else if (typeof point.customdata === "string") filterBy(point.customdata);
  }
}

// Sets the text of the filter and shows the table.
function filterBy(text) {
  view.text = text;
  applyFilters();
  document.getElementById("trials").scrollIntoView();
}

// Returns the visible trials that have a metric as [trial, position].
function scoredTrials() {
  return view.visible
    .map((index) => [TRIALS[index], index])
    .filter(([trial]) => isNumber(trial.best));
}

// Returns those with an epoch of their own; an inherited one says nothing about their values.
function ownTrials() {
  return view.visible
    .map((index) => [TRIALS[index], index])
    .filter(([trial]) => isNumber(trial.own));
}

// Returns a trace with one point per trial.
function points(pairs, x, y, more = {}) {
  return {
    type: "scatter",
    mode: "markers",
    x,
    y,
    text: pairs.map(([trial]) => hoverText(trial)),
    customdata: pairs.map(([, index]) => index),
    hovertemplate: "%{text}<extra></extra>",
    ...more,
  };
}

// Returns one trace of points per state.
function pointsByState(pairs, x, y, more = {}) {
  return STATES.map((state) => {
    const own = pairs.filter(([trial]) => trial.state === state);
    return points(own, own.map(x), own.map(y), {
      name: state,
      marker: { color: STATE_COLOURS[state], size: 7, opacity: 0.75 },
      ...more,
    });
  }).filter((trace) => trace.x.length);
}

// Returns the keys of a marker that colours points by the metric, with a bar.
function metricMarker(pairs) {
  const [low, high] = METRIC_ENDS;
  return {
    color: pairs.map(([trial]) => trial.own),
    colorscale: METRIC_SCALE,
    reversescale: DATA.mode === "min",
    cmin: low,
    cmax: high > low ? high : low + 1e-9,
    size: 8,
    opacity: 0.85,
    showscale: true,
    colorbar: { title: { text: plain(DATA.metric), side: "right" }, thickness: 10, outlinewidth: 0 },
  };
}

// Returns lines of many trials as one trace per colour; gaps separate the trials. Epochs without
// a value are left out, and the others are marked then.
function lines(groups, more = {}) {
  return groups.map(({ colour, name, trials }) => {
    const trace = { x: [], y: [], text: [], customdata: [] };
    for (const { index, x, y } of trials) {
      const label = hoverText(TRIALS[index]);
      for (let at = 0; at < x.length; at += 1) {
        if (y[at] === null) continue;
        trace.x.push(x[at]);
        trace.y.push(y[at]);
        trace.text.push(label);
        trace.customdata.push(index);
      }
      trace.x.push(null);
      trace.y.push(null);
      trace.text.push("");
      trace.customdata.push(null);
    }
    const isMarked = trials.some(({ x, y }) => x.length === 1 || y.includes(null));
    return {
      type: "scatter",
      mode: isMarked ? "lines+markers" : "lines",
      marker: { size: 4 },
      line: { color: colour, width: 1.3 },
      opacity: trials.length > 30 ? 0.55 : 0.8,
      name,
      hovertemplate: "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>",
      ...trace,
      ...more,
    };
  });
}

// Returns the trials in groups of one colour: by metric or by state, the best drawn last.
function groupByColour(trials, colouring) {
  const names = colouring === "state" ? STATES : [...Array(BUCKETS).keys()];
  return names
    .map((name) => ({
      name: String(name),
      colour: colouring === "state" ? STATE_COLOURS[name] : bucketColour(name),
      trials: trials.filter(({ index }) => {
        const trial = TRIALS[index];
        return (colouring === "state" ? trial.state : bucketOf(trial)) === name;
      }),
    }))
    .filter((group) => group.trials.length);
}

function note(text) {
  return make("p", {}, text);
}
