"use strict";
// The cuts: each attribute's scores with its cut drawn in, to be moved; the rule and guards; the command that applies.
const Panel = (() => {
  const { el } = Base;
  /** Where a cut's settings are kept: an attribute's, or those of a rule's own cut. */
  const ofAttribute = (name) => ({
    get: () => Model.model.settings.cuts[name],
    set: (cut) => { Model.model.settings.cuts[name] = cut; },
  });
  const ofCombine = (key) => ({
    get: () => Model.model.settings.combine[key],
    set: (value) => { Model.model.settings.combine = { ...Model.model.settings.combine, [key]: value }; },
  });
  const within = (place, key) => ({ read: () => place.get()[key], write: (value) => place.set({ ...place.get(), [key]: value }) });

  /** A slider over `values`, and a number for an exact one, also `between` them if any number can be tried. */
  function slider(id, label, values, place, between) {
    const last = Math.max(values.length - 1, 1), low = Math.min(...values), high = Math.max(...values);
    const nearest = (value) => {
      const found = values.findIndex((one) => one >= value);
      return found < 0 ? last : found;
    };
    return control(id, label, { min: 0, max: last, step: 1 }, {
      ...place, toSlider: nearest, fromSlider: (at) => (between ? Number(values[at].toPrecision(3)) : values[at]),
      valid: (value) => between || (value >= low && value <= high),
    });
  }

  function control(id, label, range, { read, write, toSlider, fromSlider, valid }) {
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
      const good = exact.value.trim() !== "" && Number.isFinite(value) && valid(value);
      exact.setAttribute("aria-invalid", String(!good));
      if (!good) return;
      slider.value = toSlider(value);
      write(value);
      Model.soon();
    });
    Base.on("reset", () => { slider.value = toSlider(read()); exact.value = Base.plain(read()); exact.removeAttribute("aria-invalid"); });
    return el("div", { class: "control" }, el("span", { class: "control-label" }, label), slider, exact);
  }

  function choice(count, { read, write }) {
    const boxes = Array.from({ length: count }, (_, one) => {
      const box = el("input", { type: "checkbox", checked: read().includes(one) });
      box.addEventListener("change", () => {
        write([...read().filter((other) => other !== one), ...(box.checked ? [one] : [])].sort((a, b) => a - b));
        Model.soon();
      });
      Base.on("reset", () => { box.checked = read().includes(one); });
      return el("label", { class: "choice" }, box, String(one));
    });
    return el("fieldset", { class: "clusters" }, el("legend", {}, "lacking, lowest first"), boxes);
  }

  /** Everything that can be moved of one cut; `table` holds corpus quantiles of its score. */
  function editor(id, trial, place, table) {
    return trial.controls.map((one) => {
      const key = within(place, one.key);
      if (one.is === "choice") return choice(one.count, key);
      return slider(`${id}-${one.key}`, one.key, one.is === "steps" ? one.values : table, key, one.is === "number");
    });
  }

  function card(name, position, data) {
    const attribute = data.run.figures.attributes[position];
    const chart = el("div", { class: "scores" }), share = el("strong", { class: "share" }), text = el("span", { class: "quiet" }), kind = el("span", {});
    const trial = data.run.trials.cuts[name], edit = editor(name, trial, ofAttribute(name), data.run.rules.quantiles[name]);
    const draw = (model) => {
      const one = model.figures.attributes[position], intervals = Trials.intervals(trial, model.settings.cuts[name]);
      share.textContent = Base.percent(one.share);
      text.textContent = `${trial.each ? "typically " : ""}${Trials.words(intervals)}`;
      const named = Base.spoken(trial.settings.kind), isSaid = text.textContent.startsWith(`${named} `);
      kind.textContent = isSaid ? "" : `${named}${trial.each ? ", in each example" : ""} · `;
      Charts.scores(chart, attribute, intervals, position % 5, trial.each);
    };
    Base.on("labels", draw);
    return el("section", { class: "cut", "aria-label": `Cut of ${Base.spoken(name)}` },
      el("header", {}, el("h3", {}, el("span", { class: `swatch line-${position % 5}` }), Base.spoken(name)), share),
      el("p", { class: "cut-kind", title: trial.about }, kind, text),
      chart,
      edit.length ? edit : el("p", { class: "quiet" }, trial.about, " To be moved by xtf label."));
  }

  function combination(data) {
    const { rules, shares } = data.run.trials, kind = ofCombine("rule");
    const own = rules.some((one) => one.kind === kind.get()) ? [] : [kind.get()];
    const rule = el("select", { id: "rule", "aria-label": "Rule" }, [...rules.map((one) => one.kind), ...own].map((one) => el("option", { value: one }, one)));
    rule.value = kind.get();
    const details = rules.map((one) => [one.kind, el("div", {}, one.cutKey ? cutOfRule(one) : one.countKey ? count(one.countKey, `at least so many (${one.countKey})`, 1, data.names.length) : null)]);
    const attributes = el("span", { class: "quiet" });
    const show = () => {
      for (const [name, node] of details) node.hidden = rule.value !== name;
      const chosen = rules.find((one) => one.kind === rule.value);
      attributes.textContent = chosen?.cutKey ? `${chosen.name} of the attributes lacks` : "of the attributes lack";
    };
    rule.addEventListener("change", () => { kind.set(rule.value); show(); Model.soon(); });
    Base.on("reset", () => { rule.value = kind.get(); show(); });
    show();
    return el("section", { class: "cut combine", "aria-label": "Rule and guards" },
      el("header", {}, el("h3", {}, "Masked when")),
      el("div", { class: "control" }, rule, attributes),
      details.map(([, node]) => node),
      slider("max-share", "mask at most this share of an example", shares.map(([value]) => value), values("max_noise_share"), false),
      count("min_kept", "keep at least, per example", 0, 100000));
  }

  const values = (key) => ({ read: ofCombine(key).get, write: ofCombine(key).set });

  function cutOfRule(one) {
    const edit = editor("rank", one, ofCombine(one.cutKey), Array.from({ length: 201 }, (_, i) => i / 200));
    return edit.length ? edit : el("p", { class: "quiet" }, `${one.name}: ${one.about} To be moved by xtf label.`);
  }

  function count(key, label, min, max) {
    const { read, write } = values(key);
    const input = el("input", { type: "number", id: key.replaceAll("_", "-"), min, max, step: 1, value: read() });
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
      note.hidden = !model.estimate && !model.unknown;
      note.textContent = model.unknown ? "as labelled: only the command can tell" : `estimate from ${Base.plural(figures.examples, "example")}`;
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
