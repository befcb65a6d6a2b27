"use strict";
// Helpers that every other file uses: elements without innerHTML, numbers, one place for state.
const Base = (() => {
  /** An element; attributes named on* are listeners, `class`, `data-*` and the rest are set as they are. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (name === "value") node.value = value;
      else if (name === "checked") node.checked = value;
      else node.setAttribute(name, value === true ? "" : String(value));
    }
    append(node, children);
    return node;
  }

  function append(node, children) {
    for (const child of children.flat(Infinity)) {
      if (child === null || child === undefined || child === false) continue;
      node.append(child instanceof Node ? child : document.createTextNode(String(child)));
    }
  }

  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
    append(node, children);
    return node;
  }

  function replace(node, ...children) {
    node.textContent = "";
    append(node, children);
    return node;
  }

  const grouped = new Intl.NumberFormat("en-GB");
  const count = (n) => grouped.format(n);
  const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)}%`;

  /** A number with `digits` significant digits, and no exponent where a plain decimal is readable. */
  function number(value, digits = 3) {
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const text = value.toPrecision(digits);
    const plain = Math.abs(value) >= 1e-4 && Math.abs(value) < 1e7 ? String(Number(text)) : text;
    return plain.replace("-", "−");
  }

  /** A number as a person types it and YAML reads it. */
  function plain(value) {
    const text = String(value);
    if (!text.includes("e")) return text;
    return value.toFixed(20).replace(/0+$/, "").replace(/\.$/, "");
  }

  const plural = (n, word) => `${count(n)} ${word}${n === 1 ? "" : "s"}`;
  const spoken = (name) => name.replaceAll("_", " ");

  const listeners = new Map();
  const on = (event, callback) => listeners.set(event, [...(listeners.get(event) ?? []), callback]);
  const emit = (event, detail) => (listeners.get(event) ?? []).forEach((callback) => callback(detail));

  /** Runs at most once a frame, with the last arguments. */
  function eachFrame(callback) {
    let waiting = false;
    return () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; callback(); });
    };
  }

  function stored(key, value) {
    try {
      if (value === undefined) return localStorage.getItem(key);
      localStorage.setItem(key, value);
    } catch { /* no storage in a sandboxed frame: the choice lasts as long as the page */ }
    return null;
  }

  async function copy(text, source) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(source);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      document.execCommand("copy");
    }
  }

  return { el, svg, replace, append, count, percent, number, plain, plural, spoken, on, emit, eachFrame, stored, copy };
})();
