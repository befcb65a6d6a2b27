"use strict";
// Putting the page together: theme, views, the address, and unpacking the data once the head is on screen.
const App = (() => {
  const { el } = Base;

  /** Follow the reader's system until they choose. */
  function theme() {
    const root = document.documentElement;
    const button = el("button", { type: "button", id: "theme" });
    const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
    const show = () => { button.textContent = dark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to the ${dark() ? "light" : "dark"} theme`); };
    const chosen = Base.stored("xtf-theme");
    if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;
    button.addEventListener("click", () => {
      root.dataset.theme = dark() ? "light" : "dark";
      Base.stored("xtf-theme", root.dataset.theme);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
    return button;
  }

  function address() {
    const found = new URLSearchParams(location.hash.slice(1));
    const token = found.get("token");
    return { view: found.get("view"), example: found.get("example"), token: token === null || token === "" ? null : Number(token), cuts: found.get("cuts") };
  }

  /** Write the place into the address. Another view or example is a step that Back takes back; tokens and cuts are not. */
  function write({ view, example, token }) {
    const parts = [], { cuts, combine } = Model.changes(), before = address();
    if (view === "examples" && example !== undefined) {
      parts.push(`example=${encodeURIComponent(example)}`);
      if (token !== null && token !== undefined) parts.push(`token=${token}`);
    } else if (view === "whole") parts.push("view=whole");
    if (Object.keys(cuts).length || Object.keys(combine).length) parts.push(`cuts=${encodeURIComponent(JSON.stringify({ cuts, combine }))}`);
    const now = parts.length ? `#${parts.join("&")}` : location.pathname + location.search;
    const same = (before.example ?? null) === (view === "examples" ? example ?? null : null) && (before.view === "whole") === (view === "whole");
    try {
      if (same) history.replaceState(null, "", now);
      else history.pushState(null, "", now);
    } catch { /* a frame without an address of its own */ }
  }

  function tabs(model, examples, overview, whole) {
    const state = { view: "overview" };
    const make = (name, text) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => show(name) }, text);
    const buttons = { overview: make("overview", "Overview"), whole: make("whole", "Whole"), examples: make("examples", "Examples") };
    const views = { overview, whole, examples: examples.node };
    for (const [name, node] of Object.entries(views)) {
      node.id = `view-${name}`;
      node.setAttribute("role", "tabpanel");
      node.setAttribute("aria-labelledby", `tab-${name}`);
    }
    const list = el("div", { role: "tablist", class: "tabs", "aria-label": "Views" }, Object.values(buttons));
    list.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const names = Object.keys(views), at = names.indexOf(state.view) + (event.key === "ArrowRight" ? 1 : -1);
      const other = names[(at + names.length) % names.length];
      show(other);
      buttons[other].focus();
    });
    function show(name, opening = false) {
      state.view = name;
      for (const [one, node] of Object.entries(views)) {
        node.hidden = one !== name;
        buttons[one].setAttribute("aria-selected", String(one === name));
        buttons[one].tabIndex = one === name ? 0 : -1;
      }
      document.body.dataset.view = name;
      if (name === "examples") {
        examples.list.draw();
        if (examples.state.e < 0 && !opening) examples.open(0, null, true);
        if (!opening) write({ view: name, example: model.data.run.ids[examples.state.e], token: examples.state.token });
      } else if (!opening) write({ view: name });
      Base.emit("view", name);
    }
    return { list, show, state };
  }

  /** Go where the address says: an example, perhaps one of its tokens. */
  function follow(model, examples, views) {
    const { view, example, token, cuts } = address();
    if (cuts !== null && cuts !== JSON.stringify(Model.changes())) { Model.restore(cuts); Base.emit("reset"); }
    if (example === null) {
      views.show(view === "whole" ? "whole" : "overview", true);
      return true;
    }
    const e = model.data.places.get(example);
    if (e === undefined) { views.show("examples"); return false; }
    views.show("examples", true);
    examples.open(e, token, true);
    return true;
  }

  async function start() {
    const payload = JSON.parse(document.getElementById("payload").textContent);
    const body = document.getElementById("app"), { run, model: name } = payload.runs[0].figures;
    const bar = el("header", { class: "top" }, el("div", { class: "brand" }, el("span", { class: "logo", "aria-hidden": "true" }, "xtf"),
      el("h1", {}, el("bdi", {}, run.split("/").filter(Boolean).at(-1) ?? run)), el("bdi", { class: "quiet" }, name.split("/").at(-1))));
    Base.replace(body, bar, el("p", { class: "quiet loading" }, "Unpacking…"));
    const model = await Model.load(payload);
    const panel = Panel.build(model.data), overview = Overview.build(model), examples = Examples.build(model);
    const whole = Whole.build(model), views = tabs(model, examples, overview, whole);
    bar.append(views.list, theme());
    const sticky = el("div", { class: "sticky" }, bar, panel.bar);
    Base.replace(body, sticky, Overview.warnings(model.data.run), panel.drawer, el("main", {}, overview, whole, examples.node));
    let touched = false;
    document.getElementById("toggle-cuts").addEventListener("click", () => { touched = true; });
    let started = false;
    Base.on("view", (view) => {
      if (!touched) panel.open(view === "overview");
      if (started) Base.emit("resize");
    });
    Base.on("kind", () => views.show("examples"));
    Base.on("read", ({ e, token }) => { views.show("examples", true); examples.open(e, token); });
    Base.on("phrase", ({ text, e, t }) => { examples.list.showText(text); Base.emit("read", { e, token: t - model.data.starts[e] }); });
    Base.on("place", (place) => write({ view: views.state.view, ...place }));
    follow(model, examples, views);
    Base.emit("labels", model);
    Base.emit("shown");
    started = true;
    Base.on("labels", () => { const { view } = views.state; write({ view, example: model.data.run.ids[examples.state.e], token: examples.state.token }); });
    addEventListener("hashchange", () => follow(model, examples, views));
    let width = innerWidth;
    addEventListener("resize", Base.eachFrame(() => {
      if (innerWidth === width) return;
      width = innerWidth;
      Base.emit("labels", model);
      Base.emit("resize");
    }));
    addEventListener("beforeprint", () => { if (examples.state.e < 0) examples.open(0, null, true); });
    document.documentElement.dataset.ready = "yes";
    performance.mark("xtf-ready");
  }

  const fail = (error) => {
    document.getElementById("app").append(el("p", { class: "warnings", role: "alert" }, `The page could not be built: ${error.message}`));
    throw error;
  };
  start().catch(fail);
  return { Model };
})();
