// The details of one trial, beside the page: values, curves, failures, files, commands.

const trialPanel = document.getElementById("trial");
const POSITIONS = new Map(TRIALS.map((trial, index) => [trial.id, index]));
let openedFrom = null; // the element that had the focus before

// Opens the details of a trial; its address in the page's URL can be sent to others.
function openTrial(index) {
  const hash = `#trial-${encodeURIComponent(TRIALS[index].id)}`;
  if (location.hash === hash) showTrial(index);
  else location.hash = hash;
}

// Returns the position of the trial that the page's URL names, if it names one.
function trialOfHash() {
  const id = /^#trial-(.+)$/.exec(location.hash)?.[1];
  try {
    return id && POSITIONS.get(decodeURIComponent(id));
  } catch {
    return undefined; // a "%" that stands for no character
  }
}

function followHash() {
  const index = trialOfHash();
  if (index !== undefined) showTrial(index);
  else if (view.open !== null) hideTrial();
}

function showTrial(index) {
  if (view.open === index) return;
  if (view.open === null) openedFrom = document.activeElement;
  view.open = index;
  clearPanel();
  trialPanel.replaceChildren(...trialParts(TRIALS[index], index).filter(Boolean));
  trialPanel.hidden = false;
  trialPanel.scrollTop = 0;
  trialPanel.focus({ preventScroll: true });
  selectionChanged();
}

function hideTrial() {
  view.open = null;
  trialPanel.hidden = true;
  clearPanel();
  selectionChanged();
  if (openedFrom?.isConnected) openedFrom.focus({ preventScroll: true });
}

// Empties the panel and frees its plot.
function clearPanel() {
  dark.onchange = null;
  for (const plot of trialPanel.querySelectorAll(".js-plotly-plot")) Plotly.purge(plot);
  trialPanel.replaceChildren();
}

// Closes the details and takes the trial out of the page's URL.
function closeTrial() {
  history.pushState(null, "", location.pathname + location.search);
  hideTrial();
}

function step(index, by) {
  const neighbour = () => trialTable.ordered[trialTable.ordered.indexOf(index) + by];
  return make(
    "button",
    {
      type: "button",
      disabled: neighbour() === undefined,
      title: by > 0 ? "Next trial of the table" : "Previous trial of the table",
      onclick: () => {
        const next = neighbour(); // the table may have been sorted since
        if (next !== undefined) openTrial(next);
      },
    },
    by > 0 ? "Next" : "Previous",
  );
}

function trialParts(trial, index) {
  const close = make("button", { type: "button", class: "close", "aria-label": "Close", onclick: closeTrial }, "✕");
  const buttons = make("div", { class: "buttons" }, step(index, -1), step(index, 1), close);
  const head = make("div", { class: "head" }, make("h2", {}, `Trial ${trial.id}`), stateBadge(trial.state), buttons);
  return [
    head,
    trial.why ? make("p", {}, trial.why) : null,
    trial.damage ? make("p", { class: "missing" }, trial.damage) : null,
    factList(trial, index),
    originOf(trial),
    ...failureParts(trial),
    part("Values, beside those of the search file", valueTable(trial)),
    curvePart(index),
    part("Commands", commandParts(trial)),
    part(countOf(trial.files?.length ?? 0, "file"), fileTable(trial)),
  ];
}

function part(title, content) {
  return content ? make("section", {}, make("h3", {}, title), content) : null;
}

function table(head, rows) {
  const cells = (tag, row) => row.map((cell) => make(tag, {}, cell));
  const lines = rows.map((row) => make("tr", {}, ...cells("td", row)));
  const top = make("thead", {}, make("tr", {}, ...cells("th", head)));
  return make("div", { class: "scroll" }, make("table", {}, top, make("tbody", {}, ...lines)));
}

function factList(trial, index) {
  const best = isNumber(trial.best) ? `${formatBest(trial)} at epoch ${trial.best_epoch}` : "–";
  const scores = DATA.objectives.slice(1).map(({ name }, at) => [name, formatMetric(trial.scores?.[at + 1])]);
  const facts = [
    [`best ${DATA.metric}`, best],
    [`last ${DATA.metric}`, formatMetric(trial.last)],
    ...scores,
    ["epochs", `${trial.epochs ?? 0} of ${trial.planned}`],
    ["rank", isNumber(trial.best) ? `${index + 1} of ${TRIALS.length}` : "–"],
    ["took", formatDuration(trial.seconds)],
    ["started", trial.started_text ?? "–"],
  ];
  if (trial.configuration) {
    const { number, repeat, final } = trial.configuration;
    facts.push(["configuration", `${number}, repeat ${repeat}${final ? ", final" : ""}`]);
  }
  const items = facts.map(([name, value]) => make("div", {}, make("span", {}, name), make("b", {}, value)));
  return make("div", { class: "facts" }, ...items);
}

// Returns links to the trials that this one has copied or repeats.
function originOf(trial) {
  const lines = [];
  for (const [epoch, donor] of trial.copied ?? []) {
    const link = isNumber(donor) ? trialLink(donor) : String(donor);
    lines.push(make("p", {}, "Copied ", link, ` after epoch ${epoch}`));
  }
  if (trial.weights) lines.push(make("p", {}, `Started from ${trial.weights}`));
  const alike = TRIALS.map((_, index) => index).filter(
    (index) =>
      trial.configuration &&
      TRIALS[index] !== trial &&
      TRIALS[index].configuration?.number === trial.configuration.number,
  );
  if (alike.length) {
    const links = alike.flatMap((index, at) => [at ? ", " : "", trialLink(index)]);
    lines.push(make("p", {}, "Same configuration: ", ...links));
  }
  return lines.length ? make("div", {}, ...lines) : null;
}

function failureParts(trial) {
  return [...(trial.failures ?? [])].reverse().map((failure) => {
    const traceback = failure.traceback
      ? make("details", {}, make("summary", {}, "Traceback, last lines"), make("pre", { class: "text" }, failure.traceback))
      : null;
    return make(
      "div",
      { class: "failure" },
      make("p", {}, make("span", { class: "badge state-failed" }, failure.cause), ` after epoch ${failure.epoch}, ${failure.time}`),
      make("pre", { class: "text" }, failure.message),
      traceback,
    );
  });
}

// Returns the values of a trial beside those of the search file's config; differences are bold.
function valueTable(trial) {
  const rows = DATA.keys
    .map(({ key, base }, index) => [key, trial.values[index], base])
    .filter(([, value]) => value !== null)
    .map(([key, value, base]) => [breakable(key), different(String(value), value !== base), String(base ?? "–")]);
  for (const [key, value] of Object.entries(trial.changes ?? {})) {
    const base = DATA.base[key];
    const name = breakable(`${key} (changed by the sweep)`);
    rows.push([name, different(String(value), value !== base), String(base ?? "–")]);
  }
  return rows.length ? table(["key", "this trial", "search file"], rows) : null;
}

// Returns a key that may be broken after a dot or an underscore.
function breakable(key) {
  const parts = key.split(/(?<=[._])/).flatMap((text) => [text, make("wbr")]);
  return make("span", {}, ...parts);
}

const different = (text, isDifferent) => (isDifferent ? make("b", {}, text) : text);

function curvePart(index) {
  const metrics = DATA.metrics.filter((metric) => curveOf(index, metric));
  if (!metrics.length) return null;
  const section = part("Curve", make("div", {}));
  const host = section.lastChild;
  let chosen = metrics[0];
  const draw = () => Plotly.react(place, ...trialCurve(index, chosen), { ...PLOT_CONFIG, displayModeBar: false });
  const change = (value) => {
    chosen = value;
    draw();
  };
  const place = make("div", { class: "plot", style: "height:230px" });
  host.append(make("div", { class: "choices" }, chooser("metric", metrics.map((name) => [name, name]), change)), place);
  requestAnimationFrame(() => place.isConnected && draw());
  dark.onchange = draw;
  return section;
}

function trialCurve(index, metric) {
  const { x, y } = curveOf(index, metric);
  const trace = {
    type: "scatter",
    mode: "lines+markers",
    connectgaps: true,
    x,
    y,
    line: { color: scaleColour(1), width: 2 },
    marker: { size: 5 },
    hovertemplate: `${plain(TRIALS[index].id)}<br>epoch %{x}: %{y:.4g}<extra></extra>`,
  };
  const more = { margin: { l: 50, r: 8, t: 8, b: 36 } };
  return [[trace], layoutOf(countAxis("epoch", x[x.length - 1]), axis(metric), more)];
}

function commandParts(trial) {
  const needsWeights = ["eval", "restore", "export-model"];
  const lines = Object.entries(DATA.commands)
    .filter(([verb]) => trial.checkpoint || !needsWeights.includes(verb))
    .map(([, [title, command]]) => commandLine(`${title}:`, fillIn(command, trial)));
  return make("div", {}, ...lines);
}

// Returns a command for a trial; its parts are texts and, in turn, names of words of the trial.
function fillIn(parts, trial) {
  const words = { ...trial, epochs: 2 * trial.planned };
  return parts.map((part, index) => (index % 2 ? (words[part] ?? "") : part)).join("");
}

function commandLine(title, command) {
  const line = make("div", { class: "command" }, make("span", {}, title), make("code", {}, command));
  addCopyButton(line);
  return line;
}

function addCopyButton(line) {
  const text = line.querySelector("code").textContent;
  const button = make("button", { type: "button", title: "Copy" }, "Copy");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(line.querySelector("code")); // to be copied by hand
    }
  });
  line.append(button);
}

function fileTable(trial) {
  const rows = (trial.files ?? []).map(([name, size]) => [name, formatSize(size)]);
  return rows.length ? table(["file", "size"], rows) : null;
}
