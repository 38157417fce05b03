// Puts the page together.

const dark = matchMedia("(prefers-color-scheme: dark)");
const trialTable = new TrialTable(document.getElementById("trial-table"));

// Fills a place; a chart that fails leaves a sentence, and the others are drawn.
function fill(place, draw) {
  try {
    draw(place);
  } catch (error) {
    console.error(error);
    place.append(make("p", { class: "missing" }, `This chart cannot be drawn: ${error.message}`));
  }
}

for (const place of document.querySelectorAll("[data-chart]")) {
  fill(place, (host) => CHARTS[host.dataset.chart](host));
}
for (const place of document.querySelectorAll("[data-matrix]")) fill(place, drawMatrix);
for (const line of document.querySelectorAll("main .command")) addCopyButton(line);

// Marks the part of the page that is in view in the list of parts.
const links = new Map(
  [...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]),
);
const inView = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(target.id)?.setAttribute("aria-current", "true");
    }
  },
  { rootMargin: "-15% 0px -75% 0px" },
);
for (const section of document.querySelectorAll("main > section")) inView.observe(section);

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.open !== null) closeTrial();
});
window.addEventListener("hashchange", followHash);
window.addEventListener("popstate", followHash);
followHash();
document.documentElement.dataset.ready = "true";
