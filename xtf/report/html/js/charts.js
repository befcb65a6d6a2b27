"use strict";
// Charts, drawn by Observable Plot with the page's colours, so that they follow the theme without being drawn again.
const Charts = (() => {
  const INK = "var(--ink)", MUTED = "var(--muted)", NOISE = "var(--noise)", QUIET = "var(--bar)", ACCENT = "var(--accent)";

  function draw(label, options) {
    const chart = Plot.plot({
      className: "xtf-plot", ariaLabel: label, style: { fontFamily: "inherit", fontSize: "12px", background: "transparent" },
      ...options,
    });
    chart.setAttribute("role", "img");
    for (const part of chart.querySelectorAll("g[aria-label]")) part.removeAttribute("aria-label");
    return chart;
  }

  const width = (node, most = 720) => Math.max(Math.min(node.clientWidth || 320, most), 240);

  /** Scores of one attribute, lacking ones darker, with each bound of its cut as a line. */
  function scores(node, attribute, intervals, position, dashed) {
    const { low, high, counts } = attribute.histogram, step = (high - low) / counts.length;
    const bars = counts.map((tokens, i) => {
      const from = low + i * step, middle = from + step / 2;
      return { from, to: from + step, tokens, lacks: Trials.lacks(middle, intervals) };
    });
    const bounds = intervals.flat().filter((bound) => Number.isFinite(bound));
    const inside = bounds.map((bound) => Math.min(Math.max(bound, low), high));
    const chart = draw(`Scores of ${Base.spoken(attribute.name)}: ${Trials.words(intervals)} lacks`, {
      width: width(node, 520), height: 92, marginLeft: 16, marginRight: 16, marginTop: 16, marginBottom: 20,
      x: { domain: [low, high], ticks: 4, label: null, tickSize: 3 },
      y: { axis: null },
      marks: [
        Plot.rectY(bars, {
          x1: "from", x2: "to", y: "tokens", insetLeft: 0.5, insetRight: 0.5,
          fill: (bar) => (bar.lacks ? `var(--mark-${position})` : QUIET),
        }),
        Plot.ruleY([0], { stroke: "var(--line)" }),
        Plot.ruleX(inside, { stroke: INK, strokeWidth: 1.5, strokeDasharray: dashed ? "3,3" : "none" }),
        Plot.text(inside, {
          x: (bound) => bound, text: (_, i) => Base.number(bounds[i]), frameAnchor: "top", dy: -13, fill: INK, fontWeight: 600,
          textAnchor: (bound) => (bound > (low + high) / 2 ? "end" : "start"), dx: 0,
        }),
      ],
    });
    Base.replace(node, chart);
  }

  /** An UpSet chart: each set of attributes that lack together, how many tokens it holds, how many are masked. */
  function overlaps(node, figures, names) {
    const sets = figures.overlaps.filter((one) => one.attributes.length).slice(0, 15);
    if (!sets.length) { Base.replace(node, Base.el("p", { class: "quiet" }, "No token lacks anything.")); return; }
    const keyed = sets.map((one, i) => ({ ...one, key: i }));
    const x = { domain: keyed.map((one) => one.key), axis: null, padding: 0.35 };
    const room = Math.min(90 + 8 * Math.max(...names.map((name) => name.length)), 190);
    const size = room + Math.max(Math.min(width(node) - room, 80 * sets.length), 48 * sets.length);
    const share = (one) => Base.percent(one.tokens / Math.max(figures.response, 1));
    const top = draw("Tokens in each set of attributes that lack together", {
      width: size, height: 220, marginLeft: room, marginTop: 30, marginBottom: 4, x, y: { axis: null },
      marks: [
        Plot.barY(keyed, { x: "key", y: "tokens", fill: QUIET, rx: 2 }),
        Plot.barY(keyed, { x: "key", y: "masked", fill: NOISE, rx: 2 }),
        Plot.text(keyed, { x: "key", y: "tokens", text: (one) => Base.count(one.tokens), dy: -18, fill: INK, fontWeight: 600 }),
        Plot.text(keyed, { x: "key", y: "tokens", text: share, dy: -6, fill: MUTED, fontSize: 11 }),
      ],
    });
    const dots = keyed.flatMap((one) => names.map((name) => ({ key: one.key, name, on: one.attributes.includes(name) })));
    const spans = keyed.map((one) => {
      const rows = names.filter((name) => one.attributes.includes(name));
      return { key: one.key, first: rows[0], last: rows.at(-1) };
    });
    const bottom = draw("Which attributes each of these sets holds", {
      width: size, height: 26 * names.length + 8, marginLeft: room, marginTop: 4, marginBottom: 4, x,
      y: { domain: names, label: null, tickSize: 0, tickFormat: Base.spoken, type: "point", padding: 0.5 },
      marks: [
        Plot.ruleY(names, { stroke: "var(--line)", strokeWidth: 20, strokeOpacity: 0.35 }),
        Plot.link(spans, { x: "key", y1: "first", y2: "last", stroke: INK, strokeWidth: 2 }),
        Plot.dot(dots, { x: "key", y: "name", r: 5.5, fill: (dot) => (dot.on ? INK : "var(--line)") }),
      ],
    });
    const both = { class: "upset", tabindex: "0", role: "group", "aria-label": "Sets of attributes that lack together" };
    Base.replace(node, Base.el("div", both, top, bottom));
  }

  /** Share masked by position; with a dashed line for the labels as run where settings have moved. */
  function positions(node, now, before) {
    const rows = (deciles) => deciles.map((share, i) => ({ place: (i + 0.5) / 10, share }));
    const chart = draw(`Share masked by position in the response: ${now.map((share) => Base.percent(share, 0)).join(", ")}`, {
      width: width(node), height: 200, marginLeft: 44, marginBottom: 34, marginTop: 20, marginRight: 18,
      x: { domain: [0, 1], ticks: [0, 0.5, 1], tickFormat: (p) => ["start", "middle", "end"][p * 2], label: null, tickSize: 3 },
      y: { domain: [0, Math.max(0.05, ...now, ...(before ?? []))], tickFormat: (s) => Base.percent(s, 0), label: null, ticks: 4, grid: true, nice: true },
      marks: [
        Plot.areaY(rows(now), { x: "place", y: "share", fill: NOISE, fillOpacity: 0.14, curve: "monotone-x" }),
        before ? Plot.lineY(rows(before), { x: "place", y: "share", stroke: MUTED, strokeDasharray: "4,3", curve: "monotone-x" }) : null,
        Plot.lineY(rows(now), { x: "place", y: "share", stroke: NOISE, strokeWidth: 2, curve: "monotone-x" }),
        Plot.dot(rows(now), { x: "place", y: "share", fill: NOISE, r: 3 }),
        Plot.ruleY([0], { stroke: "var(--line)" }),
      ],
    });
    Base.replace(node, chart);
  }

  /** Correlation of corpus ranks; the numbers are written out, so that no colour has to be read. */
  function correlation(node, names, matrix) {
    const cells = names.flatMap((row, i) => names.map((column, j) => ({ row, column, value: matrix[i][j] })));
    const room = Math.min(24 + 7 * Math.max(...names.map((name) => name.length)), 170);
    const size = room + Math.max(Math.min(width(node) - room, 110 * names.length), 78 * names.length);
    const wrapped = (name) => Base.spoken(name).split(" ").join("\n");
    const lines = Math.max(...names.map((name) => name.split("_").length));
    const strength = (cell) => Math.abs(cell.value ?? 0);
    const chart = draw("Correlation between the attributes' ranks", {
      width: size, height: 18 + 15 * lines + 38 * names.length, marginLeft: room, marginTop: 14 + 15 * lines, marginBottom: 4, marginRight: 4,
      x: { domain: names, label: null, axis: "top", tickSize: 0, tickFormat: wrapped },
      y: { domain: names, label: null, tickSize: 0, tickFormat: Base.spoken },
      marks: [
        Plot.cell(cells, {
          x: "column", y: "row", inset: 1, rx: 3, fillOpacity: (cell) => (cell.row === cell.column ? 0 : 0.1 + 0.35 * strength(cell)),
          fill: (cell) => (cell.row === cell.column ? "var(--line)" : (cell.value ?? 0) < 0 ? "var(--mark-1)" : ACCENT),
        }),
        Plot.text(cells, {
          x: "column", y: "row", fill: (cell) => (cell.row === cell.column ? MUTED : INK),
          text: (cell) => (cell.value === null ? "–" : cell.row === cell.column ? "1" : cell.value.toFixed(2).replace("-", "−")),
        }),
      ],
    });
    Base.replace(node, chart);
  }

  /** Held-out loss of each training arm: every seed a dot, the mean a bar. */
  function arms(node, list) {
    const names = list.map((arm) => arm.arm);
    const dots = list.flatMap((arm) => (arm.held_out_loss.values ?? []).map((value) => ({ arm: arm.arm, value })));
    const chart = draw("Held-out loss of each arm", {
      width: width(node), height: 30 + 34 * names.length, marginLeft: 90, marginTop: 8, marginBottom: 34, marginRight: 60,
      x: { label: "held-out loss (lower is better)", nice: true, grid: true, ticks: 5 },
      y: { domain: names, label: null, tickSize: 0 },
      marks: [
        Plot.tickX(list, { x: (arm) => arm.held_out_loss.mean, y: "arm", stroke: INK, strokeWidth: 3, inset: 6 }),
        Plot.dot(dots, { x: "value", y: "arm", r: 4, fill: ACCENT, fillOpacity: 0.55 }),
        Plot.text(list, { x: (arm) => Math.max(arm.held_out_loss.mean, ...(arm.held_out_loss.values ?? [])), y: "arm", text: (arm) => arm.held_out_loss.mean.toFixed(4), dx: 10, textAnchor: "start", fill: INK }),
      ],
    });
    Base.replace(node, chart);
  }

  /** Expected against true share of wrong tokens, one dot a bin, as large as the bin's share of all tokens. */
  function calibration(node, attribute, bins) {
    const some = bins.filter((bin) => bin.tokens), size = width(node, 360), all = some.reduce((sum, bin) => sum + bin.tokens, 0);
    const chart = draw(`${Base.spoken(attribute)}: expected and true share of wrong tokens, ${some.map((bin) => `${Base.percent(bin.said, 0)} ${Base.percent(bin.found, 0)}`).join(", ")}`, {
      width: size, height: Math.min(size, 280), marginLeft: 48, marginBottom: 38, marginTop: 30,
      x: { domain: [0, 1], label: "expected to be wrong", ticks: 4, tickFormat: (s) => Base.percent(s, 0) },
      y: { domain: [0, 1], label: "are wrong", ticks: 4, tickFormat: (s) => Base.percent(s, 0), grid: true },
      marks: [
        Plot.line([[0, 0], [1, 1]], { stroke: MUTED, strokeDasharray: "4,3" }),
        Plot.line(some, { x: "said", y: "found", stroke: ACCENT }),
        Plot.dot(some, { x: "said", y: "found", fill: ACCENT, r: (bin) => 3 + 6 * Math.sqrt(bin.tokens / all) }),
      ],
    });
    Base.replace(node, chart);
  }

  return { scores, overlaps, positions, correlation, arms, calibration };
})();
