"use strict";
// The overview: warnings, charts, tokens, examples, training arms, and what was run.
const Overview = (() => {
  const { el } = Base;

  function section(title, note, ...children) {
    return el("section", { class: "block" }, el("h2", {}, title), note ? el("p", { class: "quiet" }, note) : null, children);
  }

  function table(head, rows, className = "") {
    return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": head.filter(Boolean).join(", ") },
      el("table", { class: className },
        el("thead", {}, el("tr", {}, head.map((text) => el("th", { scope: "col" }, text)))),
        el("tbody", {}, rows.map((cells) => el("tr", {}, cells.map((cell) => el("td", {}, cell)))))));
  }

  function warnings(run) {
    const list = run.figures.warnings;
    if (!list.length) return null;
    return el("section", { class: "warnings", "aria-label": "Warnings" },
      el("ul", {}, list.map((text) => el("li", {}, text))));
  }

  function sampled(run) {
    if (run.complete) return null;
    const kinds = {};
    for (const why of run.why) kinds[why] = (kinds[why] ?? 0) + 1;
    const parts = Object.entries(kinds).map(([why, n]) => `${Base.count(n)} ${why}`).join(", ");
    const example = Model.quoted(run.ids[0] ?? "ID");
    return el("p", { class: "sampled" },
      `This page holds ${Base.count(run.ids.length)} of ${Base.plural(run.total, "example")} (${parts}). The figures below are those of the whole run. Others: `,
      el("code", {}, `xtf report ${Model.quoted(run.figures.run)} --example ${example}`));
  }

  /** The counts; masked and kept follow the settings tried out, as far as these can be counted here. */
  function figures(run) {
    const { summary } = run.figures, masked = el("dd", { id: "figure-masked" }), kept = el("dd", { id: "figure-kept" }), guarded = el("dd");
    const one = (value, label) => el("div", { class: "figure" }, el("dt", {}, label), value);
    const still = (value) => el("dd", {}, Base.count(value));
    Base.on("labels", ({ figures: now, estimate }) => {
      const about = estimate ? "about " : "", factor = estimate ? summary.response_tokens / Math.max(now.response, 1) : 1;
      const tokens = Math.round(now.masked * factor);
      masked.textContent = about + Base.count(tokens);
      kept.textContent = about + Base.count(summary.response_tokens - tokens);
      guarded.textContent = about + Base.count(Math.round(now.released * factor));
      guarded.parentNode.hidden = !now.released;
    });
    return el("dl", { class: "figures" },
      one(still(summary.examples), "examples"), one(still(summary.response_tokens), "response tokens scored"),
      one(masked, "masked"), one(kept, "kept"), one(still(summary.protected_tokens), "protected"), one(guarded, "kept by a guard"));
  }

  function overlapTable(figures_) {
    return table(["lacking together", "tokens", "masked"], figures_.overlaps.map((set) => [
      set.attributes.map(Base.spoken).join(" + ") || "nothing", Base.count(set.tokens), Base.count(set.masked),
    ]), "numbers");
  }

  function charts(run) {
    const upset = el("div", {}), upsetTable = el("div", {}), place = el("div", {}), correlation = el("div", { class: "wide-chart", tabindex: "0", role: "group", "aria-label": "Correlation" });
    const basis = el("p", { class: "quiet basis", hidden: true });
    const names = run.rules.attributes;
    const draw = (model) => {
      Charts.overlaps(upset, model.figures, names);
      Base.replace(upsetTable, overlapTable(model.figures));
      Charts.positions(place, model.figures.deciles, model.before?.deciles);
      basis.hidden = !model.estimate;
      basis.textContent = model.estimate ? "An estimate: the settings have moved, and only a sample is embedded." : "";
    };
    Base.on("labels", draw);
    Base.on("resize", () => { draw(Model.model); Base.emit("shown"); });
    const drawStill = () => { if (names.length > 1) Charts.correlation(correlation, names, run.figures.correlation); };
    Base.on("shown", drawStill);
    return el("div", { class: "grid" },
      section("Lacking together", "Tokens by the exact set of attributes that they lack; the coloured part is masked.", basis, upset,
        el("details", {}, el("summary", {}, "As a table"), upsetTable)),
      el("div", { class: "stack" },
        section("Masked by position", "Share of tokens masked, from the start to the end of the response.", place),
        names.length > 1 ? section("Agreement", "Correlation of the attributes' ranks: near 1 they say the same, near 0 each adds something.", correlation) : null));
  }

  function tokenTable(title, rows, kept) {
    if (!rows.length) return null;
    const value = (row) => (kept ? row.total - row.masked : row.masked);
    const most = Math.max(...rows.map(value), 1);
    return section(title, null, table(["token", kept ? "kept" : "masked", "of", ""], rows.slice(0, 12).map((row) => {
      const bar = el("span", { class: kept ? "bar" : "bar noise-bar" });
      bar.style.width = `${Math.max(100 * (value(row) / most), 1)}%`;
      return [el("bdi", { class: "chip" }, Tokens.pieces(Tokens.clipped(Tokens.marked(row.text), 40))), Base.count(value(row)), Base.count(row.total), el("span", { class: "bar-room" }, bar)];
    }), "numbers tokens-table"));
  }

  function exampleTable(title, rows, data) {
    return section(title, null, table(["example", "masked", "of"], rows.slice(0, 10).map((row) => {
      const name = Tokens.clipped(Tokens.marked(row.example_id), 48);
      const there = data.places.has(row.example_id);
      const link = there ? el("a", { href: `#example=${encodeURIComponent(row.example_id)}` }, name) : name;
      return [el("bdi", {}, link), Base.percent(row.masked / Math.max(row.response, 1), 0), Base.count(row.response)];
    }), "numbers"));
  }

  function training(run) {
    const { metrics } = run.figures;
    if (!metrics?.arms?.length) return null;
    const spread = (some, digits, unit = 1, sign = "") => {
      if (!some) return "–";
      const mean = `${(unit * some.mean).toFixed(digits)}${sign}`;
      return some.spread === null || some.spread === undefined ? mean : `${mean} ± ${(unit * some.spread).toFixed(digits)}${sign}`;
    };
    const chosen = metrics.metrics?.chosen ?? [];
    const gaps = metrics.arms.some((arm) => typeof arm.gap_recovered === "number");
    const gap = (arm) => (typeof arm.gap_recovered === "number" ? Base.percent(arm.gap_recovered, 0) : "");
    const rows = metrics.arms.map((arm) => [
      arm.stale ? [arm.arm, el("br"), el("strong", {}, arm.stale)] : arm.arm, arm.seeds.join(", "), Base.count(arm.steps), Base.count(arm.tokens_kept), Base.percent(arm.mask_share),
      spread(arm.held_out_loss, 4), ...chosen.map((one) => spread(arm.metrics[one.name], 1, 100, "%")), `${Math.round(arm.train_seconds)} s`, ...(gaps ? [gap(arm)] : []),
    ]);
    const chart = el("div", {});
    const some = metrics.arms.filter((arm) => arm.held_out_loss);
    Base.on("shown", () => { if (some.length) Charts.arms(chart, some); });
    const unjudged = chosen.flatMap((one) => one.unjudged.map((part) =>
      el("p", {}, `${one.label}: ${Base.count(part.rows)} of ${Base.plural(metrics.metrics.answered, "row")} not judged: ${part.reason}`)));
    const lines = metrics.lines.map((line) => el("p", {}, line));
    return section("Training", metrics.note, ...lines, chart, ...unjudged,
      table(["arm", "seeds", "updates", "tokens learnt", "masked", "held-out loss", ...chosen.map((one) => `${one.label} (of ${one.judged})`), "time", ...(gaps ? ["gap recovered"] : [])], rows, "numbers wide"), ...tasks(metrics.arms));
  }

  function tasks(arms) {
    if (!arms[0].tasks?.length) return [];
    const cell = (found) => {
      const errors = found.error.filter((error) => error !== null);
      return `${found.value.mean.toFixed(4)}${errors.length ? ` ± ${Math.max(...errors).toFixed(4)}` : ""}`;
    };
    const rows = arms[0].tasks.map((one, place) => [one.task, one.metric, Base.count(one.rows), ...arms.map((arm) => cell(arm.tasks[place]))]);
    return [el("p", {}, "Benchmarks (lm-evaluation-harness): mean over seeds ± greatest standard error over rows"),
      table(["task", "figure", "rows", ...arms.map((arm) => arm.arm)], rows, "numbers wide")];
  }

  function details(run) {
    const { figures: f } = run, pairs = [];
    const isSet = (value) => value !== null && !(Array.isArray(value) && !value.length);
    const shown = (value) => (typeof value === "number" && !Number.isInteger(value) ? Base.number(value, 6) : typeof value === "object" ? JSON.stringify(value) : value);
    const text = (settings) => Object.entries(settings).filter(([, value]) => isSet(value))
      .map(([key, value]) => `${key} ${shown(value)}`).join(", ");
    pairs.push(["model", f.model], ["data", f.data], ["run folder", f.run], ["seed", f.seed]);
    f.data_lines.forEach((line) => pairs.push(["rows", line]));
    f.ruling_lines.forEach((line) => pairs.push(["decided", line]));
    for (const one of f.attributes) pairs.push([Base.spoken(one.name), [text(one.params) || "default parameters", el("br"), `cut: ${text(one.threshold)}`]]);
    const { votes, weights, threshold, ...combine } = f.combine;
    const special = { vote: { votes }, weighted: { weights, threshold } }[f.combine.rule] ?? {};
    pairs.push(["combined by", text({ ...combine, ...special })]);
    pairs.push(["versions", text(f.versions)]);
    const seconds = Object.entries(f.seconds).map(([stage, s]) => `${stage} ${s} s`).join(", ");
    if (seconds) pairs.push(["time", seconds]);
    return section("What was run", null, el("dl", { class: "details" },
      pairs.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)])));
  }

  function runs(datas) {
    if (datas.length < 2) return null;
    const rows = datas.map(({ run }) => {
      const f = Figures.ofRun(run);
      return [run.figures.run, Base.percent(f.share), Base.count(f.response), f.attributes.map((one) => `${Base.spoken(one.name)} ${Base.percent(one.share)}`).join(", ")];
    });
    return section("Compared runs", "The examples view shows each example under every run.", table(["run", "masked", "of", "lacking"], rows, "numbers"));
  }

  function build(model) {
    const { data } = model, { run } = data, { summary } = run.figures;
    return el("div", { class: "overview" },
      figures(run), sampled(run), runs(model.datas), Mistakes.expected(model), Mistakes.found(run), charts(run), training(run),
      el("div", { class: "grid" },
        tokenTable("Most often masked", summary.most_masked, false), tokenTable("Most often kept", summary.most_kept, true)),
      el("div", { class: "grid" },
        exampleTable("Examples with the greatest share masked", summary.most_masked_examples, data),
        exampleTable("Examples with the smallest", summary.least_masked_examples, data)),
      details(run));
  }

  return { build, warnings, table, section };
})();
