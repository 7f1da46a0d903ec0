// Charts as SVG: an area over time, bars, and a share of a whole. Each has its figures as a table
// for screen readers, and tells them where the pointer is or by the arrow keys.

import { fill, h, svg } from "./dom.js";

/** @typedef {{ label: string, value: number, title?: string }} Point */

const WIDTH = 640;

/**
 * Round figures for an axis, from 0 to at least `most`.
 * @param {number} most
 * @param {boolean} isBytes
 */
export function ticks(most, isBytes) {
  if (most <= 0) return [0, 1];
  const base = isBytes ? 1024 : 1000;
  const unit = base ** Math.floor(Math.log(most) / Math.log(base));
  const rough = most / unit / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((times) => times * power).find((size) => size >= rough) ?? 10 * power;
  const list = [];
  for (let at = 0; at < most / unit + step; at += step) list.push(at * unit);
  return list;
}

/**
 * @param {{ label: string, points: Point[], format: (value: number) => string, height?: number, isBytes?: boolean,
 *   kind?: "area" | "bars" }} options
 */
export function chart({ label, points, format, height = 200, isBytes = true, kind = "area" }) {
  const marks = ticks(Math.max(...points.map((point) => point.value), 0), isBytes);
  const top = marks[marks.length - 1] || 1;
  const space = { left: 64, right: 12, top: 12, bottom: 26 };
  const inner = { width: WIDTH - space.left - space.right, height: height - space.top - space.bottom };
  const step = inner.width / Math.max(1, kind === "bars" ? points.length : points.length - 1);
  /** @param {number} at */
  const x = (at) => space.left + (kind === "bars" ? (at + 0.5) * step : at * step);
  /** @param {number} value */
  const y = (value) => space.top + inner.height * (1 - value / top);
  const line = points.map((point, at) => `${at ? "L" : "M"}${x(at).toFixed(1)} ${y(point.value).toFixed(1)}`).join("");
  const floor = y(0).toFixed(1);
  const shapes = kind === "bars"
    ? points.map((point, at) => svg("rect", {
      class: "chart-bar", x: (x(at) - Math.max(1, step * 0.36)).toFixed(1), width: Math.max(2, step * 0.72).toFixed(1),
      y: y(point.value).toFixed(1), height: Math.max(point.value > 0 ? 1.5 : 0, Number(floor) - y(point.value)).toFixed(1), rx: Math.min(3, step * 0.2).toFixed(1),
    }))
    : [
      svg("path", { class: "chart-area", d: points.length > 1 ? `${line}L${x(points.length - 1).toFixed(1)} ${floor}L${x(0).toFixed(1)} ${floor}Z` : "" }),
      svg("path", { class: "chart-line", d: line }),
    ];
  const cursor = svg("line", { class: "chart-cursor", y1: space.top, y2: floor, visibility: "hidden" });
  const dot = svg("circle", { class: "chart-dot", r: 4, visibility: "hidden" });
  const shown = spread(points.length, 6);
  const picture = svg(
    "svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "chart-svg", "aria-hidden": "true", preserveAspectRatio: "none" },
    marks.map((value) => [
      svg("line", { class: "chart-grid", x1: space.left, x2: WIDTH - space.right, y1: y(value).toFixed(1), y2: y(value).toFixed(1) }),
      svg("text", { class: "chart-text", x: space.left - 10, y: (y(value) + 4).toFixed(1), "text-anchor": "end" }, format(value)),
    ]),
    shapes, cursor, dot,
    shown.map((at) => svg("text", {
      class: "chart-text", x: x(at).toFixed(1), y: height - 6,
      "text-anchor": at === 0 && kind === "area" ? "start" : at === points.length - 1 && kind === "area" ? "end" : "middle",
    }, points[at].label)),
  );
  const tip = h("div", { class: "chart-tip", hidden: true });
  const node = h("div", { class: "chart", tabindex: "0", role: "group", "aria-label": label }, picture, tip, tableOf(label, points, format));
  let active = -1;
  /** @param {number} at */
  const show = (at) => {
    active = Math.max(0, Math.min(points.length - 1, at));
    const point = points[active];
    if (!point) return;
    for (const [name, value] of Object.entries({ x1: x(active), x2: x(active), visibility: "visible" })) cursor.setAttribute(name, String(value));
    for (const [name, value] of Object.entries({ cx: x(active), cy: y(point.value), visibility: kind === "area" ? "visible" : "hidden" })) dot.setAttribute(name, String(value));
    fill(tip, h("strong", null, format(point.value)), h("span", null, point.title ?? point.label));
    tip.hidden = false;
    tip.style.left = `${(x(active) / WIDTH) * 100}%`;
    tip.dataset.side = x(active) > WIDTH * 0.7 ? "left" : "right";
  };
  const hide = () => {
    tip.hidden = true;
    cursor.setAttribute("visibility", "hidden");
    dot.setAttribute("visibility", "hidden");
  };
  node.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * WIDTH - space.left;
    show(kind === "bars" ? Math.floor(at / step) : Math.round(at / step));
  });
  node.addEventListener("pointerleave", hide);
  node.addEventListener("blur", hide);
  node.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!move) return;
    event.preventDefault();
    show(active < 0 ? points.length - 1 : active + move);
  });
  return node;
}

/**
 * Which of `count` are written at the axis.
 * @param {number} count
 * @param {number} most
 */
function spread(count, most) {
  if (count <= most) return Array.from({ length: count }, (_, at) => at);
  return Array.from({ length: most }, (_, at) => Math.round((at * (count - 1)) / (most - 1)));
}

/**
 * @param {string} label
 * @param {Point[]} points
 * @param {(value: number) => string} format
 */
function tableOf(label, points, format) {
  return h("div", { class: "visually-hidden" }, h(
    "table", null, h("caption", null, label),
    h("tbody", null, points.map((point) => h("tr", null, h("th", { scope: "row" }, point.title ?? point.label), h("td", null, format(point.value))))),
  ));
}

/**
 * A line without axes, for a card.
 * @param {number[]} values
 * @param {string} label
 */
export function sparkline(values, label) {
  const most = Math.max(...values, 1);
  const step = 120 / Math.max(1, values.length - 1);
  const d = values.map((value, at) => `${at ? "L" : "M"}${(at * step).toFixed(1)} ${(30 - (value / most) * 26).toFixed(1)}`).join("");
  return svg("svg", { class: "sparkline", viewBox: "0 0 120 32", role: "img", "aria-label": label, preserveAspectRatio: "none" }, svg("path", { class: "chart-line", d }));
}

/**
 * How much of something: a bar that says so to everybody.
 * @param {number | null} share from 0 to 1; `null` if that is not known
 * @param {string} label
 * @param {string} [kind]
 */
export function meter(share, label, kind = "") {
  const shown = Math.max(0, Math.min(1, share ?? 0));
  return h(
    "div", {
      class: `meter ${kind} ${share === null ? "unknown" : ""}`.trim(), role: "progressbar", "aria-label": label, "aria-valuemin": "0",
      "aria-valuemax": "100", "aria-valuenow": share === null ? null : String(Math.round(shown * 100)),
    },
    h("div", { class: "meter-fill", css: { transform: `scaleX(${shown})` } }),
  );
}
