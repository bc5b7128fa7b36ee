// Curves drawn by uPlot from the values that their figure carries: the cursors of one run's charts move together, and new values come in
// where the chart stands. Without scripts a drawing of the server stands there instead.

const HEIGHT = 220;
const NEAR = 12; // pixels within which a curve's point belongs to the cursor
const plots = new WeakMap(); // figure -> { plot, columns, log }
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const colour = (i) => css(`--c${i}`);
const round = (x) => (Math.abs(x) >= 1000 ? Math.round(x).toLocaleString("en") : Number(x.toPrecision(4)).toString());

function short(x) {
  for (const [size, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(x) >= size && (size > 1e3 || Math.abs(x) >= 1e4)) return Number((x / size).toPrecision(6)) + letter;
  }
  return Number(x.toPrecision(10)).toString();
}

// ---- what a figure carries as uPlot takes it: x, then for each curve the ends of its band, its running mean, and itself

function columns(told, log) {
  const kept = [told.x], value = (u, v) => (v == null ? "—" : round(v)), series = [{ label: told.over, value }], bands = [];
  const positive = (values) => (log ? values.map((v) => (v > 0 ? v : null)) : values);
  const add = (values, its) => { kept.push(positive(values)); series.push({ value, spanGaps: true, points: { show: false }, ...its }); };
  told.curves.forEach((curve, i) => {
    const stroke = () => colour(i), dash = i === 1 ? [5, 3] : undefined;
    if (curve.low) {
      const quiet = { class: "quiet", label: curve.name, curve: i, width: 0 };
      bands.push({ series: [series.length + 1, series.length], fill: () => `${colour(i)}40` });
      add(curve.low, quiet);
      add(curve.high, quiet);
    }
    if (curve.mean) add(curve.mean, { class: "quiet", label: curve.name, curve: i, stroke, dash, width: 2 });
    const few = curve.y.filter((v) => v !== null).length < 2;
    add(curve.y, { label: curve.name, curve: i, stroke, ...(curve.mean ? { width: 1, alpha: 0.4 } : { width: 2, dash }), points: { show: few, size: 8, fill: stroke } });
  });
  return { kept, series, bands, shape: JSON.stringify(told.curves.map((c) => [c.name, !!c.low, !!c.mean])) };
}

function nearest(u, i, at) {
  const values = u.data[i];
  const away = (j) => (values[j] == null ? Infinity : Math.abs(u.valToPos(u.data[0][j], "x") - u.cursor.left));
  if (i === 0 || values[at] != null) return at;
  let before = at, after = at;
  while (before > 0 && values[before] == null) before -= 1;
  while (after < values.length - 1 && values[after] == null) after += 1;
  const found = away(before) <= away(after) ? before : after;
  return away(found) <= NEAR ? found : null;
}

function together(u, i, asked) { // a curve goes and comes with its band and its mean
  if (i === null || asked.show === undefined) return;
  u.series.forEach((s, j) => { if (j > 0 && s.curve === u.series[i].curve && s.show !== asked.show) u.setSeries(j, { show: asked.show }); });
}

function options(told, { series, bands }, log, width, sync) {
  const [low, high] = told.bounds;
  const axis = (its) => ({ stroke: () => css("--soft"), font: "11px system-ui, sans-serif", labelFont: "11px system-ui, sans-serif", labelSize: 18,
    grid: { stroke: () => css("--rule"), width: 1 }, ticks: { stroke: () => css("--rule"), width: 1, size: 4 }, ...its });
  const marks = (u, splits) => splits.map((v) => (v === null ? "" : short(v)));
  const ends = (soft) => ({ pad: 0.05, soft, mode: 1 });
  return {
    width, height: HEIGHT, series, bands,
    padding: [8, 10, 0, 0],
    legend: { markers: { width: 0, fill: (u, i) => u.series[i].stroke?.(u, i) } },
    cursor: { y: false, dataIdx: nearest, sync: { key: sync, setSeries: false }, points: { size: (u, i) => (u.series[i].class === "quiet" ? 0 : 7) } },
    scales: { x: { time: false }, y: log ? { distr: 3 } : { range: { min: ends(low), max: ends(high) } } },
    axes: [
      axis({ label: told.over, size: 28, values: marks, space: 45, ...(told.over === "step" ? { incrs: [1, 2, 5].flatMap((n) => [n, n * 10, n * 100, n * 1e3, n * 1e4]).sort((a, b) => a - b) } : {}) }),
      axis({ label: told.unit, size: 44, ...(log ? {} : { values: marks }) }),
    ],
    hooks: { setSeries: [together] },
  };
}

// ---- drawing

function zoomed(plot) {
  const x = plot.data[0], { min, max } = plot.scales.x;
  return x.length > 1 && min != null && (min > x[0] || max < x[x.length - 1]) ? { min, max } : null;
}

function build(figure, log) {
  const old = plots.get(figure), zoom = old && zoomed(old.plot), at = old?.plot.cursor.idx;
  old?.plot.destroy();
  const told = JSON.parse(figure.dataset.chart), place = figure.querySelector(".plot");
  const its = columns(told, log), asked = options(told, its, log, place.clientWidth, figure.dataset.sync);
  if (at != null) asked.hooks.ready = [(u) => u.setCursor({ left: u.valToPos(u.data[0][at], "x"), top: 10 })];
  const plot = new uPlot(asked, its.kept, place);
  plot.ctx.canvas.setAttribute("role", "img");
  plot.ctx.canvas.setAttribute("aria-label", `${told.curves.map((c) => c.name).join(", ")} over ${told.over}`);
  plot.root.querySelector(".u-legend").setAttribute("aria-live", "polite");
  plots.set(figure, { plot, log, shape: its.shape });
  if (zoom) plot.setScale("x", zoom);
  const button = figure.querySelector("button.log");
  button.hidden = !told.log;
  button.setAttribute("aria-pressed", String(log));
}

const sizes = new ResizeObserver((seen) => {
  for (const { target } of seen) {
    const plot = plots.get(target.closest("figure"))?.plot;
    if (plot && target.clientWidth && target.clientWidth !== plot.width) plot.setSize({ width: target.clientWidth, height: HEIGHT });
  }
});

const figures = (node) => (node.nodeType !== Node.ELEMENT_NODE ? [] : node.matches("figure[data-chart]") ? [node] : node.querySelectorAll("figure[data-chart]"));

// Draw the figures below a node that are not drawn yet.
export function draw(node) {
  for (const figure of figures(node)) {
    if (plots.has(figure)) continue;
    figure.querySelectorAll("noscript").forEach((it) => it.remove());
    build(figure, false);
    sizes.observe(figure.querySelector(".plot"));
  }
}

// Take over what a newer version of the figure carries, with zoom and cursor as they are.
export function renew(figure, fresh) {
  if (figure.dataset.chart === fresh.dataset.chart) return;
  figure.dataset.chart = fresh.dataset.chart;
  figure.dataset.sync = fresh.dataset.sync;
  const { plot, log, shape } = plots.get(figure), told = JSON.parse(fresh.dataset.chart), its = columns(told, log);
  figure.querySelector("button.log").hidden = !told.log;
  if (its.shape !== shape || (log && !told.log)) {
    build(figure, log && told.log);
    return;
  }
  const zoom = zoomed(plot);
  plot.batch(() => {
    plot.setData(its.kept);
    if (zoom) plot.setScale("x", zoom);
  });
}

// Let go of the figures below a node that leaves the page.
export function drop(node) {
  for (const figure of figures(node)) {
    sizes.unobserve(figure.querySelector(".plot"));
    plots.get(figure)?.plot.destroy();
  }
}

// ---- keys and buttons

const linked = (plot) => uPlot.sync(plot.cursor.sync.key).plots.filter((it) => it.root.isConnected);

function move(plot, by) {
  const x = plot.data[0], { min, max } = plot.scales.x;
  const ys = plot.data.filter((_, j) => j > 0 && plot.series[j].show && plot.series[j].class !== "quiet");
  const seen = [...x.keys()].filter((j) => x[j] >= min && x[j] <= max && ys.some((y) => y[j] != null));
  if (!seen.length) return;
  const now = seen.indexOf(plot.cursor.idx);
  const next = Math.abs(by) === Infinity ? (by > 0 ? seen.length - 1 : 0) : now < 0 ? (by > 0 ? 0 : seen.length - 1) : now + by;
  const at = seen[Math.min(seen.length - 1, Math.max(0, next))];
  plot.setCursor({ left: plot.valToPos(x[at], "x"), top: 10 }, true, true);
}

function zoom(plot, factor) {
  const x = plot.data[0], first = x[0], last = x[x.length - 1], { min, max } = plot.scales.x;
  if (x.length < 2) return;
  const middle = plot.cursor.idx == null ? (min + max) / 2 : x[plot.cursor.idx], half = (factor * (max - min)) / 2;
  const range = factor ? { min: Math.max(first, middle - half), max: Math.min(last, middle + half) } : { min: first, max: last };
  linked(plot).forEach((it) => it.setScale("x", range));
}

const KEYS = {
  ArrowLeft: (plot) => move(plot, -1),
  ArrowRight: (plot) => move(plot, 1),
  Home: (plot) => move(plot, -Infinity),
  End: (plot) => move(plot, Infinity),
  Escape: (plot) => plot.setCursor({ left: -10, top: -10 }, true, true),
  "+": (plot) => zoom(plot, 0.5),
  "-": (plot) => zoom(plot, 2),
  "0": (plot) => zoom(plot, 0),
  l: (plot, figure) => { if (JSON.parse(figure.dataset.chart).log) build(figure, !plots.get(figure).log); },
};

// Whether the key was for the figure that has the focus.
export function pressed(figure, key) {
  const its = plots.get(figure);
  if (!its || !KEYS[key]) return false;
  KEYS[key](its.plot, figure);
  return true;
}

document.addEventListener("click", (event) => {
  const figure = event.target.closest?.("figure[data-chart]");
  if (figure && event.target.closest("button.log")) KEYS.l(null, figure);
});

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const figure of figures(document.body)) build(figure, plots.get(figure).log);
});
