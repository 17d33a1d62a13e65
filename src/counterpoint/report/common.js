"use strict";
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const make = (tag, name, text) => {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined) node.textContent = text;
  return node;
};
const minus = (text) => text.replace("-", "−");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const held = JSON.parse(document.getElementById("data-json").textContent);
