// Tables: rows of one kind. On narrow screens each row becomes a card with the labels of its cells.

import { text } from "../strings.js";
import { fill, h } from "./dom.js";

/**
 * @template T
 * @typedef {{ label: string, cell: (row: T) => import("./dom.js").Child, class?: string, hideLabel?: boolean }} Column
 * `class`: `number` aligns to the right, `grow` takes the room that is left, `wide-only` is not
 * shown on narrow screens.
 */

/**
 * @template T
 * @param {{ label: string, columns: Column<T>[], rows: T[], open?: (row: T) => void, href?: (row: T) => string,
 *   rowClass?: (row: T) => string }} options
 * `href`: where the first cell leads, and with it a click on the row.
 */
export function table({ label, columns, rows, href, rowClass }) {
  /** @param {T} row */
  const line = (row) => {
    const target = href?.(row);
    return h(
      "tr", {
        class: `${target ? "clickable" : ""} ${rowClass?.(row) ?? ""}`.trim(),
        on: target ? {
          /** @param {MouseEvent} event */
          click: (event) => {
            const inner = /** @type {HTMLElement} */ (event.target).closest("a, button, input, label");
            if (!inner && !window.getSelection()?.toString()) tr(event).querySelector("a")?.click();
          },
        } : {},
      },
      columns.map((column, at) => h(
        "td", { class: column.class ?? "", data: { label: column.hideLabel ? "" : column.label } },
        at === 0 && target ? h("a", { class: "row-link", href: target }, column.cell(row)) : column.cell(row),
      )),
    );
  };
  return h(
    "div", { class: "table-wrap" },
    h(
      "table", { class: "table", "aria-label": label },
      h("thead", null, h("tr", null, columns.map((column) => h("th", { scope: "col", class: column.class ?? "" }, column.hideLabel ? h("span", { class: "visually-hidden" }, column.label) : column.label)))),
      h("tbody", null, rows.map(line)),
    ),
  );
}

/** @param {MouseEvent} event */
const tr = (event) => /** @type {HTMLElement} */ (event.currentTarget);

/**
 * A list that comes in parts, with a button for more.
 * @template T
 * @param {{ load: (page: string | null, signal: AbortSignal) => Promise<{ items: T[], next_page?: string | null }>,
 *   draw: (rows: T[]) => import("./dom.js").Child, none: () => Node }} options
 */
export function paged({ load, draw, none }) {
  /** @type {T[]} */
  let rows = [];
  /** @type {string | null} */
  let next = null;
  const list = h("div");
  const more = h("button", { class: "button", type: "button" }, text.more);
  const foot = h("div", { class: "table-more", hidden: true }, more);
  const show = () => {
    fill(list, rows.length ? draw(rows) : none());
    foot.hidden = !next;
  };
  /** @param {AbortSignal} signal */
  const first = async (signal) => {
    const part = await load(null, signal);
    rows = part.items;
    next = part.next_page ?? null;
    show();
  };
  more.addEventListener("click", async () => {
    more.disabled = true;
    try {
      const part = await load(next, new AbortController().signal);
      rows = rows.concat(part.items);
      next = part.next_page ?? null;
      show();
    } finally {
      more.disabled = false;
    }
  });
  return { node: h("div", null, list, foot), first };
}
