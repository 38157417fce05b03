// Functions and cells of the tables. Values from files only ever become text.
"use strict";

window.dashAgGridFunctions = window.dashAgGridFunctions || {};
window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {};

// A number with as many digits as tell trials apart.
dashAgGridFunctions.formatNumber = function (value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
};

// A metric, always with four decimals, so that digits stand below each other.
dashAgGridFunctions.formatMetric = function (value) {
  return typeof value === "number" ? value.toFixed(4) : "-";
};

dashAgGridFunctions.formatDuration = function (seconds) {
  if (typeof seconds !== "number") return "-";
  if (seconds < 100) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 6000) return `${(seconds / 60).toFixed(seconds < 600 ? 1 : 0)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

dashAgGridFunctions.formatTime = function (time) {
  return typeof time === "string" ? time.replace("T", " ").slice(0, 16) : "-";
};

// Empty cells come last in both directions.
dashAgGridFunctions.compareNumbers = function (a, b, nodeA, nodeB, isDescending) {
  const isNumber = [typeof a === "number", typeof b === "number"];
  if (isNumber[0] && isNumber[1]) return a - b;
  if (isNumber[0] === isNumber[1]) return String(a ?? "").localeCompare(String(b ?? ""));
  return (isNumber[0] ? -1 : 1) * (isDescending ? -1 : 1);
};

dashAgGridFunctions.quietTheme = function (theme) {
  return theme.withParams({
    accentColor: "var(--accent)",
    backgroundColor: "var(--panel)",
    borderColor: "var(--line)",
    browserColorScheme: "inherit",
    chromeBackgroundColor: "var(--page)",
    fontFamily: "inherit",
    fontSize: 13,
    foregroundColor: "var(--text)",
    headerFontWeight: 600,
    rowHeight: 32,
    headerHeight: 36,
    spacing: 6,
    wrapperBorderRadius: 6,
  });
};

function goTo(event, href) {
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  window.history.pushState({}, "", href);
  window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  window.scrollTo(0, 0);
}

// A link to another page of this site; `href` is made by the server.
dashAgGridComponentFunctions.PageLink = function (props) {
  const href = props.data && props.data.href;
  if (typeof href !== "string" || !/^\/(?!\/)/.test(href)) return String(props.value ?? "");
  return React.createElement(
    "a",
    { href, onClick: (event) => goTo(event, href) },
    String(props.value ?? ""),
  );
};

dashAgGridComponentFunctions.State = function (props) {
  if (!props.value) return null;
  const state = String(props.value).split(" ")[0].replace(/[^a-z]/g, "");
  return React.createElement("span", { className: `badge state-${state}` }, String(props.value));
};

// The ids alone, as whole rows would be sent with every tick.
dashAgGridFunctions.noteSelection = function (params) {
  const data = params.api.getSelectedNodes().map((node) => node.id);
  window.dash_clientside.set_props("selected-trials", { data });
};

window.dash_clientside = window.dash_clientside || {};

window.dash_clientside.trialTable = {
  // Brings rows up to date and returns the version that is shown.
  applyChanges: function (changes) {
    const grid = window.dash_ag_grid.getApi("trials");
    if (!grid) return window.dash_clientside.no_update; // the next tick asks for these changes again
    const isThere = (row) => grid.getRowNode(row.id) !== undefined;
    grid.applyTransaction({
      add: changes.add.filter((row) => !isThere(row)),
      update: [...changes.update, ...changes.add].filter(isThere),
    });
    return changes.shown;
  },

  // Selects what a brush leaves. A new page has no brush, and its boxes are empty.
  selectOnly: function (ids) {
    if (!ids) return window.dash_clientside.set_props("selected-trials", { data: [] });
    const grid = window.dash_ag_grid.getApi("trials");
    if (!grid) return;
    grid.deselectAll();
    const nodes = ids.map((id) => grid.getRowNode(id)).filter((node) => node !== undefined);
    grid.setNodesSelected({ nodes, newValue: true });
  },
};
