"use strict";
// The overview's word on mistakes: how much looks wrong and of which kind, and what comparing with a truth file found.
const Mistakes = (() => {
  const { el } = Base;
  const NAMES = { position: "position alone", labels: "the mask" };
  const number = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
  const interval = ({ value, low, high }) => (value === null || low === null ? number(value) : `${number(value)} [${number(low)}, ${number(high)}]`);
  const share = (some) => (some?.value === null || some === undefined ? "–" : Base.percent(some.value));

  /** What probabilities expect to be wrong; each kind leads to the examples that hold most of it. */
  function expected(model) {
    const { data } = model, { run } = data;
    if (!run.figures.wrong.length) return null;
    const body = el("div", {});
    const draw = () => Base.replace(body, run.figures.wrong.map((one) => {
      const kinds = Kinds.of(data).find(({ bit }) => data.names[bit] === one.attribute);
      const named = `${one.sentence[0].toUpperCase()}${one.sentence.slice(1)}.`;
      return [el("p", {}, named), kinds ? kindsTable(one, { ...kinds, tokens: Kinds.count(data, model.labels, kinds.bit) }, run.complete) : null];
    }));
    Base.on("labels", draw);
    return Overview.section("What looks wrong", null, body);
  }

  function kindsTable(one, { bit, names, tokens }, complete) {
    const most = Math.max(...Object.values(one.kinds), 1e-9);
    const rows = Object.entries(one.kinds).filter(([name, part]) => part >= 0.0005 || tokens[names.indexOf(name)]).map(([name, part]) => {
      const kind = names.indexOf(name), bar = el("span", { class: "bar noise-bar" });
      bar.style.width = `${Math.max(100 * (part / most), 1)}%`;
      const link = el("button", { type: "button", class: "link", onclick: () => Base.emit("kind", { bit, kind }) }, name);
      return [link, Base.percent(part, 2), Base.count(tokens[kind]), el("span", { class: "bar-room" }, bar)];
    });
    return Overview.table(["looks like", "expected share", complete ? "below the cut" : "below the cut, here", ""], rows, "numbers tokens-table");
  }

  /** The comparison with a truth file: each attribute and position alone, by kind, and how well probabilities hold. */
  function found(run) {
    const { detection } = run.figures;
    if (!detection) return null;
    const spans = detection.grain === "span", name = (row) => NAMES[row.name] ?? Base.spoken(row.name);
    const head = ["", "AUROC", spans ? "judged by" : "at like positions", "average precision", ...(spans ? [] : ["precision", "recall", "right masked"])];
    const rows = detection.found.map((row) => [
      name(row), interval(row.auroc), spans ? row.judged_by : number(row.auroc_at_like_positions), interval(row.average_precision),
      ...(spans ? [] : [share(row.precision), share(row.recall), share(row.right_masked)]),
    ]);
    const charts = Object.entries(detection.calibration).map(([attribute, one]) => {
      const chart = el("div", {});
      Base.on("shown", () => Charts.calibration(chart, attribute, one.bins));
      return [el("h3", {}, `${Base.spoken(attribute)} as a probability`),
        el("p", { class: "quiet" }, `Expected calibration error ${one.expected_calibration_error?.toFixed(3) ?? "–"}: on the line, the probability is true.`), chart];
    });
    const missing = detection.examples_without_truth;
    return Overview.section("Mistakes that are known", `Compared with ${detection.truth}. AUROC: 1 finds every mistake first, 0.5 is chance. In brackets: 95% of examples drawn anew.`,
      detection.again ? el("p", { class: "stale" }, "The labels have changed since. Compare again: ", el("code", {}, detection.again)) : null,
      el("p", { class: "found" }, detection.sentence), missing ? el("p", { class: "quiet" }, `${Base.plural(missing, "example")} without truth left out.`) : null,
      Overview.table(head, rows, "numbers wide"), spans ? null : byKind(detection, name), charts);
  }

  function byKind({ found: rows, words }, name) {
    const kinds = Object.entries(rows[0]?.kinds ?? {}).sort((a, b) => b[1].tokens - a[1].tokens);
    if (!kinds.length) return null;
    const masked = rows.find((row) => row.name === "labels")?.kinds, isNamed = masked && Object.values(masked).some((one) => "named_right" in one);
    const named = (kind) => masked[kind].named_right ?? null;
    const cells = kinds.map(([kind, { tokens }]) => [
      words[kind] ?? kind, Base.count(tokens), ...(isNamed ? [named(kind) === null ? "–" : Base.percent(named(kind), 0)] : []), ...rows.map((row) => {
        const { auroc, recall } = row.kinds[kind];
        return `${number(auroc)}${recall === undefined ? "" : ` · ${Base.percent(recall, 0)}`}`;
      }),
    ]);
    return [el("h3", {}, "By kind: AUROC · share masked"), Overview.table(["kind", "tokens", ...(isNamed ? ["named right, of those masked"] : []), ...rows.map(name)], cells, "numbers wide")];
  }

  return { expected, found };
})();
