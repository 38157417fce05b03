// Filters of the trials: words, comparisons such as `learning_rate<0.01`, states, brushes.

// Everything about a trial that words are looked for in.
const SEARCH_TEXTS = TRIALS.map((trial) => {
  const values = trial.values.map((value, index) => `${DATA.keys[index].key} ${value ?? ""}`);
  return [trial.id, trial.state, trial.why ?? "", ...values].join(" ").toLowerCase();
});

// Columns that a comparison can name.
const FIELDS = {
  id: (trial) => trial.id,
  state: (trial) => trial.state,
  number: (trial) => trial.number,
  epoch: (trial) => trial.best_epoch,
  epochs: (trial) => trial.epochs,
  seconds: (trial) => trial.seconds,
  configuration: (trial) => trial.configuration?.number,
  [DATA.metric.toLowerCase()]: (trial) => trial.best,
};

function fieldNamed(name) {
  const objective = DATA.objectives.findIndex((item) => item.name.toLowerCase() === name);
  if (objective > 0) return (trial) => trial.scores?.[objective];
  if (Object.hasOwn(FIELDS, name)) return FIELDS[name];
  const keys = DATA.keys.map(({ key }) => key.toLowerCase());
  const index = keys.findIndex((key) => key === name || key.endsWith(`.${name}`));
  return index < 0 ? null : (trial) => trial.values[index];
}

const COMPARISONS = {
  "=": (a, b) => a === b,
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
};

// Returns a function of a trial and its position for one word of the filter's text.
function parseWord(word) {
  const parts = /^([^<>=]+)(<=|>=|=|<|>)(.+)$/.exec(word);
  const field = parts && fieldNamed(parts[1]);
  if (!field) return (trial, index) => SEARCH_TEXTS[index].includes(word);
  const [compare, wanted] = [COMPARISONS[parts[2]], parts[3]];
  return (trial) => {
    const value = field(trial);
    if (value === null || value === undefined) return false;
    if (isNumber(value) && wanted.trim() !== "" && isNumber(Number(wanted))) {
      return compare(value, Number(wanted));
    }
    return parts[2] === "=" && String(value).toLowerCase() === wanted;
  };
}

// Applies all filters and tells the parts of the page; brushes need the axes of `coordinates.js`.
function applyFilters() {
  const tests = view.text.toLowerCase().split(/\s+/).filter(Boolean).map(parseWord);
  view.visible = [];
  TRIALS.forEach((trial, index) => {
    const hasState = !view.states.size || view.states.has(trial.state);
    if (hasState && tests.every((test) => test(trial, index)) && isInBrushes(trial)) {
      view.visible.push(index);
    }
  });
  view.isVisible = new Set(view.visible);
  selectionChanged();
}

function clearFilters() {
  view.text = "";
  view.states.clear();
  view.brushes.clear();
  applyFilters();
}

const hasFilters = () => view.text.trim() !== "" || view.states.size > 0 || view.brushes.size > 0;
