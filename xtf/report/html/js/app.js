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
    return { view: found.get("view"), example: found.get("example"), token: token === null || token === "" ? null : Number(token) };
  }

  function write({ view, example, token }) {
    const parts = [];
    if (view === "examples" && example !== undefined) {
      parts.push(`example=${encodeURIComponent(example)}`);
      if (token !== null && token !== undefined) parts.push(`token=${token}`);
    }
    try {
      history.replaceState(null, "", parts.length ? `#${parts.join("&")}` : location.pathname + location.search);
    } catch { /* a frame without an address of its own */ }
  }

  function tabs(model, examples, overview) {
    const state = { view: "overview" };
    const make = (name, text) => el("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => show(name) }, text);
    const buttons = { overview: make("overview", "Overview"), examples: make("examples", "Examples") };
    const views = { overview, examples: examples.node };
    for (const [name, node] of Object.entries(views)) {
      node.id = `view-${name}`;
      node.setAttribute("role", "tabpanel");
      node.setAttribute("aria-labelledby", `tab-${name}`);
    }
    const list = el("div", { role: "tablist", class: "tabs", "aria-label": "Views" }, Object.values(buttons));
    list.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowRight" && event.key !== "ArrowLeft") return;
      const other = state.view === "overview" ? "examples" : "overview";
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
    const { example, token } = address();
    if (example === null) return false;
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
    const views = tabs(model, examples, overview);
    bar.append(views.list, theme());
    const sticky = el("div", { class: "sticky" }, bar, panel.bar);
    Base.replace(body, sticky, Overview.warnings(model.data.run), panel.drawer, el("main", {}, overview, examples.node));
    let touched = false;
    document.getElementById("toggle-cuts").addEventListener("click", () => { touched = true; });
    let started = false;
    Base.on("view", (view) => {
      if (!touched) panel.open(view === "overview");
      if (started) Base.emit("resize");
    });
    Base.on("kind", () => views.show("examples"));
    Base.on("place", (place) => write({ view: views.state.view, ...place }));
    if (!follow(model, examples, views)) views.show("overview", true);
    Base.emit("labels", model);
    Base.emit("shown");
    started = true;
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
