// A list of any length of which only the rows that are seen exist. All rows are equally high.

import { fill, h } from "./dom.js";

/** Rows beyond the edges, so that fast scrolling meets no empty ones. */
const MARGIN = 12;
/** Browsers cannot make a node higher than some millions of pixels. */
const HEIGHT_MAX = 8_000_000;

/**
 * @param {{ label: string, count: number, rowHeight: number, row: (at: number) => HTMLElement, height?: string,
 *   open?: (at: number) => void, seen?: (first: number, last: number) => void }} options
 * `row` makes the row of a number; `open` is what Enter and a click do; `seen` tells which rows are
 * shown, so that what is not there yet can be loaded.
 */
export function virtualList(options) {
  const { rowHeight } = options;
  let count = options.count;
  let active = 0;
  let first = -1;
  let last = -1;
  const body = h("div", { class: "virtual-body" });
  const node = h("div", {
    class: "virtual", role: "listbox", tabindex: "0", "aria-label": options.label,
    css: options.height ? { height: options.height } : {},
  }, body);
  const id = `virtual-${Math.random().toString(36).slice(2, 8)}`;

  const whole = () => Math.min(count * rowHeight, HEIGHT_MAX);
  /** How far the rows are from where the scroll bar says: none unless the list is gigantic. */
  const stretch = () => {
    const room = Math.max(1, whole() - node.clientHeight);
    return (Math.max(1, count * rowHeight - node.clientHeight)) / room;
  };

  /** @param {boolean} [isNew] */
  const draw = (isNew = false) => {
    const top = node.scrollTop * stretch();
    const from = Math.max(0, Math.floor(top / rowHeight) - MARGIN);
    const to = Math.min(count, Math.ceil((top + node.clientHeight) / rowHeight) + MARGIN);
    if (!isNew && from === first && to === last) return;
    first = from;
    last = to;
    const shift = node.scrollTop - top;
    const rows = [];
    for (let at = from; at < to; at += 1) {
      const row = options.row(at);
      row.classList.add("virtual-row");
      row.id = `${id}-${at}`;
      row.setAttribute("role", "option");
      row.setAttribute("aria-setsize", String(count));
      row.setAttribute("aria-posinset", String(at + 1));
      row.setAttribute("aria-selected", String(at === active));
      row.style.transform = `translateY(${at * rowHeight + shift}px)`;
      row.style.height = `${rowHeight}px`;
      row.dataset.at = String(at);
      rows.push(row);
    }
    body.style.height = `${whole()}px`;
    fill(body, rows);
    if (count) node.setAttribute("aria-activedescendant", `${id}-${active}`);
    options.seen?.(from, to);
  };

  /** @param {number} at */
  const move = (at) => {
    active = Math.max(0, Math.min(count - 1, at));
    const ratio = stretch();
    const top = active * rowHeight;
    const seenTop = node.scrollTop * ratio;
    if (top < seenTop) node.scrollTop = top / ratio;
    else if (top + rowHeight > seenTop + node.clientHeight) node.scrollTop = (top + rowHeight - node.clientHeight) / ratio;
    draw(true);
  };

  node.addEventListener("scroll", () => draw(stretch() > 1), { passive: true });
  node.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(node.clientHeight / rowHeight) - 1);
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowDown: () => move(active + 1), ArrowUp: () => move(active - 1), PageDown: () => move(active + page),
      PageUp: () => move(active - page), Home: () => move(0), End: () => move(count - 1), Enter: () => count && options.open?.(active),
    };
    const run = event.target === node ? keys[event.key] : undefined;
    if (!run) return;
    event.preventDefault();
    run();
  });
  node.addEventListener("click", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const row = target.closest(".virtual-row");
    if (!row || target.closest("button, input, label, a")) return;
    active = Number(/** @type {HTMLElement} */ (row).dataset.at);
    draw(true);
    options.open?.(active);
  });
  const watcher = new ResizeObserver(() => draw(true));
  watcher.observe(node);
  return {
    node,
    /** Draws the rows that are seen again. */
    refresh: () => draw(true),
    /** @param {number} now */
    setCount: (now) => {
      count = now;
      active = Math.min(active, Math.max(0, count - 1));
      draw(true);
    },
    active: () => active,
    moveTo: move,
    stop: () => watcher.disconnect(),
  };
}
