"use strict";
// The cuts: each attribute's scores with its cut drawn in, to be moved; the rule and guards; the command that applies.
const Panel = (() => {
  const { el } = Base;
  const KIND = {
    below: "lacking below", above: "lacking above", outside: "lacking outside", iqr: "interquartile range",
    multi_otsu: "Multi-Otsu clusters", bottom_share: "lowest share lacks", top_share: "highest share is kept", never: "never lacking",
  };

  /** A slider over corpus quantiles, and a number for an exact value; both write `cut[key]`. */
  function bound(name, key, table, label) {
    const { model } = Model, last = Math.max(table.length - 1, 1);
    const nearest = (value) => {
      const place = table.findIndex((one) => one >= value);
      return place < 0 ? last : place;
    };
    return control(`${name}-${key}`, label, { min: 0, max: last, step: 1 }, {
      read: () => model.settings.cuts[name][key],
      write: (value) => { model.settings.cuts[name] = { ...model.settings.cuts[name], [key]: value }; },
      toSlider: nearest,
      fromSlider: (place) => Number(table[place].toPrecision(3)),
      hint: "by corpus rank",
    });
  }

  const direct = (id, label, range, read, write) =>
    control(id, label, range, { read, write, toSlider: (value) => value, fromSlider: (value) => value });

  function control(id, label, range, { read, write, toSlider, fromSlider, hint }) {
    const valid = (value) => Number.isFinite(value) && (hint || (value >= range.min && (value <= range.max || range.open)));
    const slider = el("input", { type: "range", id: `slide-${id}`, ...range, value: toSlider(read()), "aria-label": `${label}, slider` });
    const exact = el("input", { type: "text", inputmode: "decimal", id: `cut-${id}`, value: Base.plain(read()), size: 8, "aria-label": label });
    slider.addEventListener("input", () => {
      const value = fromSlider(Number(slider.value));
      exact.value = Base.plain(value);
      exact.removeAttribute("aria-invalid");
      write(value);
      Model.soon();
    });
    exact.addEventListener("input", () => {
      const value = Number(exact.value.trim().replace("−", "-").replace(",", "."));
      const good = exact.value.trim() !== "" && valid(value);
      exact.setAttribute("aria-invalid", String(!good));
      if (!good) return;
      slider.value = toSlider(value);
      write(value);
      Model.soon();
    });
    Base.on("reset", () => { slider.value = toSlider(read()); exact.value = Base.plain(read()); exact.removeAttribute("aria-invalid"); });
    return el("div", { class: "control" }, el("span", { class: "control-label" }, label), slider, exact);
  }

  function clusters(name, edges) {
    const { model } = Model, cut = () => model.settings.cuts[name];
    const boxes = Array.from({ length: cut().classes }, (_, cluster) => {
      const box = el("input", { type: "checkbox", checked: cut().lacking.includes(cluster) });
      box.addEventListener("change", () => {
        const lacking = cut().lacking.filter((one) => one !== cluster);
        if (box.checked) lacking.push(cluster);
        model.settings.cuts[name] = { ...cut(), lacking: lacking.sort() };
        Model.soon();
      });
      Base.on("reset", () => { box.checked = cut().lacking.includes(cluster); });
      return el("label", { class: "choice" }, box, String(cluster));
    });
    return edges ? el("fieldset", { class: "clusters" }, el("legend", {}, "lacking clusters, lowest first"), boxes) : null;
  }

  function editor(name, data) {
    const { model } = Model, cut = model.settings.cuts[name], table = data.run.rules.quantiles[name];
    const set = (key) => (value) => { model.settings.cuts[name] = { ...model.settings.cuts[name], [key]: value }; };
    const get = (key) => () => model.settings.cuts[name][key];
    switch (cut.kind) {
      case "below": case "above": return bound(name, "cut", table, "cut");
      case "outside": return [bound(name, "low", table, "low"), bound(name, "high", table, "high")];
      case "iqr": return direct(`${name}-k`, "k", { min: 0, max: 5, step: 0.05, open: true }, get("k"), set("k"));
      case "bottom_share": return direct(`${name}-share`, "share", { min: 0, max: 1, step: 0.005 }, get("share"), set("share"));
      case "top_share": return direct(`${name}-keep`, "keep", { min: 0, max: 1, step: 0.005 }, get("keep"), set("keep"));
      case "multi_otsu": return cut.scope === "dataset" ? clusters(name, data.run.rules.edges[name]?.[cut.classes]) : null;
      default: return null;
    }
  }

  function card(name, position, data) {
    const attribute = data.run.figures.attributes[position];
    const chart = el("div", { class: "scores" }), share = el("strong", { class: "share" }), text = el("span", { class: "quiet" });
    const cut = data.asRun.cuts[name], edit = editor(name, data);
    const draw = (model) => {
      const fitted = model.labels.fitted[name], one = model.figures.attributes[position];
      share.textContent = Base.percent(one.share);
      const typical = fitted.fixed ?? Cuts.typical(fitted.each ?? []);
      text.textContent = fitted.fixed ? Cuts.words(fitted.fixed) : `typically ${Cuts.words(typical)}`;
      Charts.scores(chart, attribute, typical, position % 5, !fitted.fixed);
    };
    Base.on("labels", draw);
    return el("section", { class: "cut", "aria-label": `Cut of ${Base.spoken(name)}` },
      el("header", {}, el("h3", {}, el("span", { class: `swatch line-${position % 5}` }), Base.spoken(name)), share),
      el("p", { class: "cut-kind" }, `${KIND[cut.kind]}${cut.scope === "example" ? ", in each example" : ""} · `, text),
      chart,
      edit ?? el("p", { class: "quiet" }, cut.kind === "never" ? "Decides nothing." : "Found anew by xtf label; not to be moved here."));
  }

  function combination(data) {
    const { model } = Model, set = (key) => (value) => { model.settings.combine = { ...model.settings.combine, [key]: value }; };
    const get = (key) => () => model.settings.combine[key];
    const hasOtsu = data.asRun.combine.threshold.kind === "multi_otsu";
    const rule = el("select", { id: "rule", "aria-label": "Rule" },
      ["any", "all", "vote", "weighted"].filter((one) => one !== "weighted" || !hasOtsu || data.asRun.combine.rule === "weighted")
        .map((one) => el("option", { value: one }, one)));
    rule.value = get("rule")();
    const votes = number("votes", "votes", 1, Math.max(data.names.length, 1), get("votes"), set("votes"));
    const rank = rankCut(data), attributes = el("span", { class: "quiet" });
    const show = () => {
      votes.hidden = rule.value !== "vote";
      rank.hidden = rule.value !== "weighted";
      attributes.textContent = rule.value === "weighted" ? "mean of the attributes' ranks lacks" : "of the attributes lack";
    };
    rule.addEventListener("change", () => { set("rule")(rule.value); show(); Model.soon(); });
    Base.on("reset", () => { rule.value = get("rule")(); show(); });
    show();
    return el("section", { class: "cut combine", "aria-label": "Rule and guards" },
      el("header", {}, el("h3", {}, "Masked when")),
      el("div", { class: "control" }, rule, attributes, votes),
      rank,
      direct("max-share", "at most", { min: 0, max: 1, step: 0.01 }, get("max_noise_share"), set("max_noise_share")),
      number("min-kept", "keep at least, per example", 0, 100000, get("min_kept"), set("min_kept")));
  }

  function rankCut(data) {
    const { model } = Model, threshold = data.asRun.combine.threshold;
    const key = { below: "cut", above: "cut", iqr: "k", bottom_share: "share", top_share: "keep" }[threshold.kind];
    if (!key) return el("p", { class: "quiet" }, `mean rank: ${KIND[threshold.kind]}`);
    const max = threshold.kind === "iqr" ? 5 : 1;
    return direct("rank", `mean rank, ${key}`, { min: 0, max, step: 0.005 }, () => model.settings.combine.threshold[key], (value) => {
      model.settings.combine = { ...model.settings.combine, threshold: { ...model.settings.combine.threshold, [key]: value } };
    });
  }

  function number(id, label, min, max, read, write) {
    const input = el("input", { type: "number", id, min, max, step: 1, value: read() });
    input.addEventListener("input", () => {
      const value = Number(input.value);
      if (input.value === "" || !Number.isInteger(value) || value < min || value > max) return;
      write(value);
      Model.soon();
    });
    Base.on("reset", () => { input.value = read(); });
    return el("label", { class: "control" }, el("span", { class: "control-label" }, label), input);
  }

  /** The line that is always in sight: share masked now, before, and what to do about it. */
  function ribbon(data) {
    const share = el("strong", { id: "masked-share" }), tokens = el("span", { id: "masked-tokens", class: "quiet" });
    const change = el("span", { id: "masked-before", class: "quiet" }), note = el("span", { id: "estimate", class: "badge", hidden: true });
    const fill = el("span", { class: "meter-fill" });
    const reset = el("button", { type: "button", id: "reset", hidden: true, onclick: () => { Model.reset(); Base.emit("reset"); } }, "As labelled");
    const status = el("div", { class: "ribbon-figures", role: "status" }, share, tokens, change, note);
    Base.on("labels", (model) => {
      const { figures, before } = model;
      share.textContent = `${Base.percent(figures.share)} masked`;
      tokens.textContent = `${Base.count(figures.masked)} of ${Base.count(figures.response)} response tokens`;
      change.textContent = before ? `was ${Base.percent(before.share)}` : "";
      note.hidden = !model.estimate;
      note.textContent = model.estimate ? `estimate from ${Base.plural(figures.examples, "example")}` : "";
      fill.style.width = `${100 * figures.share}%`;
      reset.hidden = !model.changed;
    });
    return { status, meter: el("div", { class: "meter", "aria-hidden": "true" }, fill), reset };
  }

  function commandLine() {
    const code = el("code", { id: "command" });
    const button = el("button", { type: "button", onclick: async () => {
      await Base.copy(code.textContent, code);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    } }, "Copy");
    const line = el("div", { class: "command", hidden: true }, el("span", { class: "quiet" }, "Make it real:"), code, button);
    Base.on("labels", (model) => { line.hidden = !model.changed; code.textContent = Model.command(); });
    return line;
  }

  function build(data) {
    const head = ribbon(data);
    const cards = data.names.map((name, position) => card(name, position, data));
    const drawer = el("div", { id: "cuts", class: "cuts" }, cards, combination(data));
    const toggle = el("button", { type: "button", id: "toggle-cuts", "aria-controls": "cuts", "aria-expanded": "true" }, "What if…");
    const open = (shown) => {
      const was = !drawer.hidden;
      drawer.hidden = !shown;
      toggle.setAttribute("aria-expanded", String(shown));
      if (shown && !was) Base.emit("labels", Model.model);
    };
    toggle.addEventListener("click", () => open(drawer.hidden));
    const bar = el("div", { class: "ribbon" }, head.status, head.meter, head.reset, toggle);
    return { bar, drawer: el("div", { class: "drawer" }, commandLine(), drawer), open };
  }

  return { build };
})();
