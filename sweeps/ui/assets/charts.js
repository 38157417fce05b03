// Functions of the charts that need no answer of the server.
"use strict";

window.dash_clientside = window.dash_clientside || {};

window.dash_clientside.sweepCharts = {
  countSelected: function (ids) {
    const count = (ids || []).length;
    return count ? ` ${count} ${count === 1 ? "trial" : "trials"} selected.` : "";
  },

  // Opens the page of the trial whose line or point was clicked.
  openTrial: function (clicks, figures, key) {
    const number = clicks.findIndex((click) => click && click.points && click.points.length);
    if (number < 0) return window.dash_clientside.no_update;
    const point = clicks[number].points[0];
    const trace = ((figures[number] || {}).data || [])[point.curveNumber];
    if (!trace || trace.meta !== "trial") return window.dash_clientside.no_update;
    const id = typeof point.customdata === "string" ? point.customdata : trace.name;
    const path = `/sweep/${encodeURIComponent(key)}/trial/${encodeURIComponent(id)}`;
    window.history.pushState({}, "", path);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    window.scrollTo(0, 0);
    return id;
  },
};
