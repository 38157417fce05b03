// The table of all trials: sorted by a click on a heading, filtered by text and state.

const ROWS_AT_ONCE = 100; // more come with scrolling, so that ten thousand trials open quickly

// Columns: `value` is sorted by, `text` is shown; `kind` is the class of the cells.
function buildColumns() {
  const others = DATA.objectives.slice(1).map(({ name }, index) => ({
    title: name,
    kind: "number",
    value: (trial) => trial.scores?.[index + 1],
    text: formatMetric,
  }));
  const keys = DATA.keys.map(({ key }, index) => {
    const isNumeric = TRIALS.every(({ values }) => values[index] == null || isNumber(values[index]));
    return {
      title: KEY_NAMES[index],
      hint: key,
      kind: isNumeric ? "number" : "value",
      value: (trial) => trial.values[index],
      text: (value) => shorten(formatValue(value), 40),
    };
  });
  const hasRepeats = TRIALS.some((trial) => trial.configuration);
  const repeats = {
    title: "repeat",
    hint: "configuration, and the number of the trial in it",
    kind: "number",
    value: ({ configuration: of }) => of && of.number + of.repeat / 1000,
    text: (value, { configuration: of }) =>
      of ? `${of.number}.${of.repeat}${of.final ? " final" : ""}` : "–",
  };
  return [
    { title: "trial", kind: "id", value: (trial) => trial.id, first: "ascending" },
    { title: "state", kind: "state", value: (trial) => trial.state, first: "ascending" },
    {
      title: DATA.metric,
      hint: `${DATA.metric} at the trial's best epoch`,
      kind: "number strong",
      value: (trial) => trial.best,
      text: (_, trial) => formatBest(trial),
    },
    ...others,
    { title: "epoch", hint: "the best epoch", kind: "number", value: (trial) => trial.best_epoch },
    {
      title: "epochs",
      hint: "trained, of those planned",
      kind: "number",
      value: (trial) => trial.epochs ?? 0,
      text: (value, trial) => `${value} / ${trial.planned}`,
    },
    {
      title: "took",
      kind: "number",
      value: (trial) => trial.seconds,
      text: formatDuration,
    },
    ...keys,
    ...(hasRepeats ? [repeats] : []),
    {
      title: "why it ended",
      kind: "why",
      value: (trial) => trial.why ?? "",
      text: (value) => shorten(value, 60),
      first: "ascending",
    },
    { title: "started", kind: "number", value: (trial) => trial.started, text: (_, trial) => trial.started_text ?? "–" },
  ];
}

// Compares two values; missing ones come last in both directions.
function compareValues(a, b, sign) {
  const missing = [a, b].map((value) => value === null || value === undefined || value === "");
  if (missing[0] || missing[1]) return missing[0] - missing[1];
  if (isNumber(a) && isNumber(b)) return sign * (a - b);
  if (isNumber(a) !== isNumber(b)) return isNumber(a) ? -1 : 1;
  return sign * String(a).localeCompare(String(b));
}

function trialLink(index) {
  const { id } = TRIALS[index];
  return make("a", { class: "id", href: `#trial-${encodeURIComponent(id)}` }, id);
}

function stateBadge(state) {
  return make("span", { class: `badge state-${state}` }, state);
}

class TrialTable {
  constructor(host) {
    this.columns = buildColumns();
    this.sorted = { column: null, sign: 1 };
    this.limit = ROWS_AT_ONCE;
    this.rows = new Map(); // position of a trial -> its row
    this.body = make("tbody");
    this.headings = this.columns.map((column) => this.heading(column));
    const head = make("thead", {}, make("tr", {}, ...this.headings));
    this.scroll = make(
      "div",
      { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "All trials" },
      make("table", { class: "trials" }, head, this.body),
    );
    this.more = make("button", { type: "button", onclick: () => this.showMore() });
    host.append(this.toolbar(), this.scroll, this.more);
    this.body.addEventListener("click", (event) => this.openRow(event));
    this.scroll.addEventListener("scroll", () => {
      const { scrollTop, clientHeight, scrollHeight } = this.scroll;
      if (!this.more.hidden && scrollTop + 2 * clientHeight > scrollHeight) this.showMore();
    });
    onSelection(() => this.update());
    this.update();
  }

  heading(column) {
    const button = make(
      "button",
      { type: "button", title: column.hint ?? column.title, onclick: () => this.sortBy(column) },
      column.title,
    );
    return make("th", { scope: "col", class: column.kind, "aria-sort": "none" }, button);
  }

  toolbar() {
    const example = DATA.keys.length ? `, ${KEY_NAMES[0]}=…` : "";
    this.search = make("input", {
      type: "search",
      id: "trial-filter",
      "aria-label": "Filter the trials",
      placeholder: `Filter: words, ${DATA.metric}>0.9${example}`,
      oninput: () => {
        view.text = this.search.value;
        applyFilters();
      },
    });
    this.chips = STATES.filter((state) => TRIALS.some((trial) => trial.state === state)).map(
      (state) => this.chip(state),
    );
    this.count = make("span", { class: "count", role: "status" });
    this.clear = make("button", { type: "button", onclick: clearFilters }, "Show all");
    const chips = make("span", { class: "chips" }, ...this.chips);
    return make("div", { class: "toolbar" }, this.search, chips, this.count, this.clear);
  }

  chip(state) {
    const count = TRIALS.filter((trial) => trial.state === state).length;
    const toggle = () => {
      if (!view.states.delete(state)) view.states.add(state);
      applyFilters();
    };
    const attributes = { type: "button", class: `chip state-${state}`, onclick: toggle };
    return make("button", { ...attributes, "data-state": state }, `${state} ${count}`);
  }

  sortBy(column) {
    const isSame = this.sorted.column === column;
    const isText = column.first === "ascending" || column.kind === "value";
    const isMinimised = column.title === DATA.metric && DATA.mode === "min";
    const first = isText || isMinimised ? 1 : -1;
    this.sorted = { column, sign: isSame ? -this.sorted.sign : first };
    this.headings.forEach((heading, index) => {
      const direction = this.sorted.sign > 0 ? "ascending" : "descending";
      heading.setAttribute("aria-sort", this.columns[index] === column ? direction : "none");
    });
    this.limit = ROWS_AT_ONCE;
    this.update();
  }

  // Returns the positions of the trials in the order of the table.
  order() {
    const { column, sign } = this.sorted;
    if (!column) return view.visible;
    const value = (index) => column.value(TRIALS[index]);
    return [...view.visible].sort((a, b) => compareValues(value(a), value(b), sign) || a - b);
  }

  update() {
    this.ordered = this.order();
    const shown = this.ordered.slice(0, this.limit);
    this.body.replaceChildren(...shown.map((index) => this.row(index)));
    this.updateMore();
    const all = TRIALS.length;
    const isAll = view.visible.length === all;
    this.count.textContent = isAll ? countOf(all, "trial") : `${view.visible.length} of ${all} trials`;
    this.clear.hidden = !hasFilters();
    if (this.search.value !== view.text) this.search.value = view.text;
    for (const chip of this.chips) {
      chip.setAttribute("aria-pressed", String(view.states.has(chip.dataset.state)));
    }
  }

  updateMore() {
    const hidden = this.ordered.length - this.limit;
    this.more.hidden = hidden <= 0;
    this.more.textContent = `Show ${Math.min(hidden, ROWS_AT_ONCE)} more of ${hidden}`;
  }

  // Returns the row of a trial, which is built once.
  row(index) {
    let row = this.rows.get(index);
    if (!row) {
      const trial = TRIALS[index];
      const cells = this.columns.map((column) => this.cell(column, trial, index));
      row = make("tr", { "data-trial": index }, ...cells);
      this.rows.set(index, row);
    }
    row.classList.toggle("open", view.open === index);
    row.classList.toggle("best", index === 0 && isNumber(TRIALS[0].best));
    return row;
  }

  cell(column, trial, index) {
    const cell = document.createElement("td");
    cell.className = column.kind;
    if (column.kind === "id") cell.append(trialLink(index));
    else if (column.kind === "state") cell.append(stateBadge(trial.state));
    else {
      const value = column.value(trial);
      cell.textContent = column.text ? column.text(value, trial) : formatValue(value);
      if (column.kind === "why" || column.kind === "value") cell.title = String(value ?? "");
    }
    return cell;
  }

  // Opens the trial of the row that was clicked, unless text is being selected.
  openRow(event) {
    const row = event.target.closest("tr");
    if (!row || event.target.closest("a") || String(getSelection())) return;
    openTrial(Number(row.dataset.trial));
  }

  showMore() {
    const next = this.ordered.slice(this.limit, this.limit + ROWS_AT_ONCE);
    this.limit += ROWS_AT_ONCE;
    this.body.append(...next.map((index) => this.row(index))); // the others keep the focus
    this.updateMore();
  }
}
